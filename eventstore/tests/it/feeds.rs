//! One suite for all feeds: what is above a feed must not notice which it is. Then what only Kafka can do wrong, and what it
//! means to share one.

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

/// The same for feeds, which may be shared.
macro_rules! feed_suites {
    ($tests:tt) => {
        suite!(store, super::Way::Store, $tests);
        suite!(kafka, super::Way::Kafka, $tests);
        suite!(shared_store, super::Way::SharedStore, $tests);
        suite!(shared_kafka, super::Way::SharedKafka, $tests);
    };
}

mod contract;
mod followed;
mod records;
mod shared;

pub use followed::{Followed, Way, read_to};
