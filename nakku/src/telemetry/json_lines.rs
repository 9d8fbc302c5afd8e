//! Log lines as JSON objects for programs: one line an event, flat, with the fields of the spans around it.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Begins the fields that describe records of the `log` crate, which C libraries are heard through.
const OF_LOG_CRATE: &str = "log.";
/// Where such a record says what `target` says of others.
const LOG_TARGET: &str = "log.target";

/// `{"timestamp", "level", "target", "message", …}`: a span's fields stand beside the event's own, which win where both
/// have one of a name. Needs spans' fields as JSON (`JsonFields`).
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let of_span = extensions
                .get::<FormattedFields<N>>()
                .and_then(|fields| serde_json::from_str::<Map<String, Value>>(fields).ok());
            fields.0.extend(of_span.unwrap_or_default());
        }
        event.record(&mut fields);
        let Fields(mut fields) = fields;

        let metadata = event.metadata();
        let target = match fields.remove(LOG_TARGET) {
            Some(Value::String(target)) => target,
            _ => metadata.target().to_owned(),
        };
        fields.retain(|name, _| !name.starts_with(OF_LOG_CRATE));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let message = fields.remove("message").unwrap_or_default();
        let head = [
            ("timestamp", Value::from(timestamp)),
            ("level", Value::from(metadata.level().as_str())),
            ("target", Value::from(target)),
            ("message", message),
        ];
        let rest = fields.iter().map(|(name, value)| (name.as_str(), value));
        let all = head.iter().map(|(name, value)| (*name, value)).chain(rest);
        for (index, (name, value)) in all.enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(writer, "{before}{}:{value}", Value::from(name))?;
        }
        writeln!(writer, "}}")
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_a_flat_object_with_the_fields_of_its_spans() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let outer =
                tracing::info_span!("request", trace_id = "ab", code = tracing::field::Empty);
            let _entered = outer.enter();
            let inner = tracing::info_span!("command", attempts = 2);
            inner.in_scope(|| tracing::warn!(target: "t", attempts = 3, "a \"b\"\n{{c}}"));
            outer.record("code", "late");
            tracing::info!(ratio = 0.5, ok = true, none = None::<u64>);
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{written}");
        let mut first = lines[0].clone();
        assert!(first["timestamp"].take().as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "timestamp": null, "level": "WARN", "target": "t", "message": "a \"b\"\n{c}",
            "trace_id": "ab", "attempts": 3,
        });
        assert_eq!(first, expected);
        assert_eq!(lines[1]["code"], "late");
        assert_eq!(lines[1]["ratio"], 0.5);
        assert_eq!(lines[1]["ok"], true);
        assert!(written.starts_with("{\"timestamp\":"), "{written}");
    }
}
