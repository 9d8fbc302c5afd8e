//! What outlives the code, the stored form of every event; and what the sagas promise, whatever happens meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;
mod round_trip;
mod sagas;
mod samples;
mod sealing;
