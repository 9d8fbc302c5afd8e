//! An event as a Kafka record, and back: CloudEvents 1.0, binary binding.

use std::str::{self, FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use uuid::Uuid;

use crate::LOG;
use crate::event::{Metadata, RecordedEvent};

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// As many as are ever set.
const HEADERS_MAX: usize = 17;

/// Stand before a record's value and key on the way; a bound for what a record takes in memory.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 1_024;

/// The key of a record: everything of one stream is in one partition.
pub(crate) fn key(event: &RecordedEvent, into: &mut String) {
    write_key(&event.aggregate_type, &event.aggregate_id, into);
}

/// The key of the records of a stream.
pub(crate) fn write_key(aggregate_type: &str, id: &str, into: &mut String) {
    into.clear();
    into.push_str(aggregate_type);
    into.push('-');
    into.push_str(id);
}

/// The headers of a record; `epoch` is that of the relay's lease.
pub(crate) fn headers(event: &RecordedEvent, epoch: i64) -> OwnedHeaders {
    let metadata = event.metadata();
    let set = |headers: OwnedHeaders, key: &str, value: &str| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    };
    let mut headers = OwnedHeaders::new_with_capacity(HEADERS_MAX);
    headers = set(headers, "ce_specversion", SPEC_VERSION);
    headers = set(headers, "ce_id", &event.event_id.to_string());
    headers = set(
        headers,
        "ce_source",
        &format!("/nakku/{}", event.aggregate_type),
    );
    headers = set(headers, "ce_type", &event.event_type);
    headers = set(headers, "ce_subject", &event.aggregate_id);
    headers = set(headers, "ce_time", &time(event.recorded_at));
    headers = set(headers, "content-type", CONTENT_TYPE);
    headers = set(headers, "ce_log", LOG);
    headers = set(headers, "ce_position", &event.position.to_string());
    headers = set(headers, "ce_sequence", &event.sequence.to_string());
    headers = set(headers, "ce_streamtype", &event.aggregate_type);
    headers = set(headers, "ce_eventversion", &event.event_version);
    headers = set(headers, "ce_epoch", &epoch.to_string());
    let optional = [
        ("ce_correlationid", &metadata.correlation_id),
        ("ce_causationid", &metadata.causation_id),
        ("ce_userid", &metadata.user_id),
        ("traceparent", &metadata.traceparent),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            headers = set(headers, key, value);
        }
    }
    headers
}

/// To the microsecond, as the log holds it.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What a record says about its place in the log, without its content.
pub(crate) struct RecordPlace {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
}

/// Why a record is not an event of this log.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it belongs to another log")]
    OtherLog,
    #[error("its header {0} is missing or unreadable")]
    Header(&'static str),
    #[error("its value is missing or not UTF-8")]
    Value,
}

/// The place that a record claims, for comparing with the log.
pub(crate) fn place(message: &BorrowedMessage<'_>) -> Result<RecordPlace, RecordError> {
    let found = Found::read(message);
    found.of_this_log()?;
    Ok(RecordPlace {
        position: parsed(found.position, "ce_position")?,
        event_id: parsed(found.id, "ce_id")?,
    })
}

/// The event that a record carries.
pub(crate) fn decode(message: &BorrowedMessage<'_>) -> Result<RecordedEvent, RecordError> {
    let found = Found::read(message);
    found.of_this_log()?;
    let payload = message
        .payload()
        .and_then(|value| str::from_utf8(value).ok())
        .ok_or(RecordError::Value)?;
    let metadata = Metadata {
        correlation_id: found.correlation_id.map(str::to_owned),
        causation_id: found.causation_id.map(str::to_owned),
        user_id: found.user_id.map(str::to_owned),
        traceparent: found.traceparent.map(str::to_owned),
    };
    Ok(RecordedEvent {
        position: parsed(found.position, "ce_position")?,
        event_id: parsed(found.id, "ce_id")?,
        aggregate_type: text(found.stream_type, "ce_streamtype")?,
        aggregate_id: text(found.subject, "ce_subject")?,
        sequence: parsed(found.sequence, "ce_sequence")?,
        event_type: text(found.event_type, "ce_type")?,
        event_version: text(found.event_version, "ce_eventversion")?,
        payload: payload.to_owned(),
        metadata: serde_json::to_string(&metadata).unwrap_or_default(),
        recorded_at: parsed(found.time, "ce_time")?,
    })
}

/// The headers that matter, by one pass over them.
#[derive(Default)]
struct Found<'a> {
    log: Option<&'a str>,
    id: Option<&'a str>,
    event_type: Option<&'a str>,
    subject: Option<&'a str>,
    time: Option<&'a str>,
    position: Option<&'a str>,
    sequence: Option<&'a str>,
    stream_type: Option<&'a str>,
    event_version: Option<&'a str>,
    correlation_id: Option<&'a str>,
    causation_id: Option<&'a str>,
    user_id: Option<&'a str>,
    traceparent: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn read(message: &'a BorrowedMessage<'_>) -> Self {
        let mut found = Self::default();
        let Some(headers) = message.headers() else {
            return found;
        };
        for header in headers.iter() {
            let slot = match header.key {
                "ce_log" => &mut found.log,
                "ce_id" => &mut found.id,
                "ce_type" => &mut found.event_type,
                "ce_subject" => &mut found.subject,
                "ce_time" => &mut found.time,
                "ce_position" => &mut found.position,
                "ce_sequence" => &mut found.sequence,
                "ce_streamtype" => &mut found.stream_type,
                "ce_eventversion" => &mut found.event_version,
                "ce_correlationid" => &mut found.correlation_id,
                "ce_causationid" => &mut found.causation_id,
                "ce_userid" => &mut found.user_id,
                "traceparent" => &mut found.traceparent,
                _ => continue,
            };
            *slot = header.value.and_then(|value| str::from_utf8(value).ok());
        }
        found
    }

    fn of_this_log(&self) -> Result<(), RecordError> {
        match self.log {
            Some(LOG) => Ok(()),
            Some(_) => Err(RecordError::OtherLog),
            None => Err(RecordError::Header("ce_log")),
        }
    }
}

fn text(value: Option<&str>, header: &'static str) -> Result<String, RecordError> {
    value.map(str::to_owned).ok_or(RecordError::Header(header))
}

fn parsed<T: FromStr>(value: Option<&str>, header: &'static str) -> Result<T, RecordError> {
    value
        .and_then(|value| value.parse().ok())
        .ok_or(RecordError::Header(header))
}
