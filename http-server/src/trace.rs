//! Trace context: which trace a request belongs to (W3C `traceparent`).

use axum::http::HeaderMap;
use uuid::Uuid;

use crate::headers::TRACEPARENT;

/// Length of a version 00 `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
const TRACEPARENT_LENGTH: usize = 55;
const FLAG_SAMPLED: u8 = 1;

/// The trace that a request belongs to and its own span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl Trace {
    /// The caller's trace with a new span; a new trace where the header is missing or, as the
    /// standard asks, malformed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok())
            .and_then(parse)
            .map_or_else(Self::begin, |(trace_id, flags)| Trace {
                trace_id,
                span_id: new_span_id(),
                flags,
            })
    }

    /// A new trace.
    #[must_use]
    pub fn begin() -> Self {
        Trace {
            trace_id: Uuid::now_v7().as_u128(),
            span_id: new_span_id(),
            flags: FLAG_SAMPLED,
        }
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The trace id as a UUID: the correlation id of a request that brings none.
    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        Uuid::from_u128(self.trace_id)
    }

    /// The header to hand on to what this request causes.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        )
    }
}

/// The low half of a UUIDv7 is random but for its two variant bits, so never zero.
fn new_span_id() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

fn parse(text: &str) -> Option<(u128, u8)> {
    let later_version = text.len() > TRACEPARENT_LENGTH
        && !text.starts_with("00-")
        && text.as_bytes()[TRACEPARENT_LENGTH] == b'-';
    if text.len() != TRACEPARENT_LENGTH && !later_version {
        return None;
    }
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace_id = hex(parts.next()?, 32)?;
    let span_id = hex(parts.next()?, 16)?;
    let flags = hex(parts.next()?, 2)?;
    let valid = version != 0xff && trace_id != 0 && span_id != 0;
    valid.then(|| (trace_id, u8::try_from(flags).unwrap_or(0) & FLAG_SAMPLED))
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(lower_hex) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, value.parse().unwrap());
        Trace::of(&headers)
    }

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn the_callers_trace_goes_on_with_a_new_span() {
        let trace = of(GIVEN);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(
            trace
                .traceparent()
                .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
        );
        assert!(trace.traceparent().ends_with("-00"));
        assert!(!trace.traceparent().contains("00f067aa0ba902b7"));
        assert_eq!(of(&trace.traceparent()).trace_id(), trace.trace_id());
    }

    #[test]
    fn a_malformed_header_begins_a_new_trace() {
        for value in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_ne!(
                of(value).trace_id(),
                "4bf92f3577b34da6a3ce929d0e0e4736",
                "{value}"
            );
        }
        assert_ne!(Trace::begin(), Trace::begin());
    }
}
