//! What outlives the code: the stored form of every event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;
mod round_trip;
mod samples;
mod sealing;
