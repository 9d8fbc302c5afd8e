//! One suite for both feeds: what is above a feed must not notice which it is. Then what only Kafka can do wrong.

/// Makes tests of functions that take which feed to follow: one over the log, one over Kafka.
macro_rules! suite {
    ($source:ident, $kafka:expr, [$($test:ident),* $(,)?]) => {
        mod $source {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($kafka).await;
                }
            )*
        }
    };
}

macro_rules! suites {
    ($tests:tt) => {
        suite!(store, false, $tests);
        suite!(kafka, true, $tests);
    };
}

mod contract;
mod followed;
mod records;

pub use followed::{Followed, read_to};
