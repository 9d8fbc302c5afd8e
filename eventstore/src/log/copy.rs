//! Events out of the server's binary COPY: a header, then for each row the number of its columns and each
//! column's length and bytes, at the end a row of -1 columns.

use chrono::DateTime;
use futures::TryStreamExt;
use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use uuid::Uuid;

use crate::event::RecordedEvent;

/// The columns of `event::COLUMNS`.
const COLUMNS: i16 = 10;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// What stands for the end in the place of a row's number of columns.
const END: i16 = -1;

/// Of PostgreSQL's epoch, the first moment of the year 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Runs a COPY of `event::COLUMNS` to its end.
pub(super) async fn events(pool: &PgPool, statement: &str) -> sqlx::Result<Vec<RecordedEvent>> {
    let mut copying = Copying(Some(pool.acquire().await?));
    let events = copying.run(statement).await?;
    // Read to the end: fit to be used again.
    drop(copying.0.take());
    Ok(events)
}

/// A connection in the middle of a COPY. It cannot be used for anything else before the end, so one that
/// is dropped early is closed.
struct Copying(Option<PoolConnection<Postgres>>);

impl Copying {
    async fn run(&mut self, statement: &str) -> sqlx::Result<Vec<RecordedEvent>> {
        let Some(connection) = &mut self.0 else {
            return Err(sqlx::Error::WorkerCrashed);
        };
        let mut events = Vec::new();
        let mut messages = connection.copy_out_raw(statement).await?;
        while let Some(message) = messages.try_next().await? {
            read(&message, &mut events).ok_or_else(|| {
                let reason = "the server's COPY of the log is not in the known format";
                sqlx::Error::Decode(reason.into())
            })?;
        }
        Ok(events)
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// The rows of one message, after the header where it is the first.
fn read(message: &[u8], into: &mut Vec<RecordedEvent>) -> Option<()> {
    let mut reader = Reader(message);
    if let Some(rest) = message.strip_prefix(SIGNATURE) {
        reader = Reader(rest);
        let _flags = reader.bytes(4)?;
        let extension = i32::from_be_bytes(reader.array()?);
        reader.bytes(usize::try_from(extension).ok()?)?;
    }
    while !reader.0.is_empty() {
        match i16::from_be_bytes(reader.array()?) {
            END => {}
            COLUMNS => into.push(reader.event()?),
            _ => return None,
        }
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn event(&mut self) -> Option<RecordedEvent> {
        Some(RecordedEvent {
            position: self.number()?,
            event_id: Uuid::from_slice(self.column()?).ok()?,
            aggregate_type: self.text()?,
            aggregate_id: self.text()?,
            sequence: self.number()?,
            event_type: self.text()?,
            event_version: self.text()?,
            payload: self.text()?,
            metadata: self.text()?,
            recorded_at: DateTime::from_timestamp_micros(
                self.number()?.checked_add(EPOCH_MICROS)?,
            )?,
        })
    }

    /// None of the columns may be null, which has the length -1.
    fn column(&mut self) -> Option<&'a [u8]> {
        let length = i32::from_be_bytes(self.array()?);
        self.bytes(usize::try_from(length).ok()?)
    }

    fn number(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.column()?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.column()?).ok().map(str::to_owned)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(into: &mut Vec<u8>, bytes: &[u8]) {
        into.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
        into.extend(bytes);
    }

    fn row(position: i64) -> Vec<u8> {
        let mut row = COLUMNS.to_be_bytes().to_vec();
        column(&mut row, &position.to_be_bytes());
        column(&mut row, &[7; 16]);
        column(&mut row, b"product");
        column(&mut row, b"0198c0de");
        column(&mut row, &1_i64.to_be_bytes());
        column(&mut row, b"product.created");
        column(&mut row, b"1.0");
        column(&mut row, "{\"name\":\"Bräu\"}".as_bytes());
        column(&mut row, b"{}");
        column(&mut row, &1_000_000_i64.to_be_bytes());
        row
    }

    fn header() -> Vec<u8> {
        [SIGNATURE, &[0; 8]].concat()
    }

    #[test]
    fn rows_are_read_however_they_are_spread_over_messages() {
        for messages in [
            vec![
                [header(), row(1)].concat(),
                row(2),
                END.to_be_bytes().to_vec(),
            ],
            vec![
                header(),
                [row(1), row(2)].concat(),
                END.to_be_bytes().to_vec(),
            ],
            vec![[header(), row(1), row(2), END.to_be_bytes().to_vec()].concat()],
        ] {
            let mut events = Vec::new();
            for message in &messages {
                read(message, &mut events).unwrap();
            }
            assert_eq!(events.len(), 2);
            assert_eq!((events[0].position, events[1].position), (1, 2));
            assert_eq!(events[1].payload, "{\"name\":\"Bräu\"}");
            assert_eq!(
                events[0].recorded_at.to_rfc3339(),
                "2000-01-01T00:00:01+00:00"
            );
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_form_is_refused() {
        let row = row(1);
        for end in 1..row.len() {
            assert!(read(&row[..end], &mut Vec::new()).is_none(), "{end}");
        }
        let mut null = COLUMNS.to_be_bytes().to_vec();
        null.extend((-1_i32).to_be_bytes());
        assert!(read(&null, &mut Vec::new()).is_none());
        assert!(read(&3_i16.to_be_bytes(), &mut Vec::new()).is_none());
    }
}
