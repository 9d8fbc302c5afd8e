//! The one HTTP client: pooled, balanced, with deadlines, retries within a budget and a circuit breaker an instance.
//!
//! | module | holds |
//! |---|---|
//! | `upstream` | a service of one or several instances, and a call of it |
//! | `retry`, `backoff`, `budget` | what is repeated, when, and how often at most |
//! | `circuit`, `ejection` | which instances are left alone, for failing and for being slow |
//! | `balance`, `latency` | which of the others is asked |
//! | `instance`, `connection`, `tls` | one instance and the way to it |
//! | `body` | bodies: kept for a repetition, passed through, bounded in time |
//! | `request`, `answer` | small calls in JSON |
//! | `address`, `authority`, `settings`, `options`, `headers` | what is set |
//! | `measure`, `status` | what operators see |

mod activity;
mod address;
mod answer;
mod authority;
mod backoff;
mod balance;
pub mod body;
mod budget;
mod circuit;
mod connection;
mod ejection;
mod error;
pub mod headers;
mod instance;
mod latency;
mod measure;
mod options;
mod problem;
mod reason;
mod request;
mod retry;
mod settings;
mod status;
mod tls;
mod upstream;
mod window;

pub use address::{ServiceUrl, SettingError};
pub use answer::{Answer, AnswerError};
pub use authority::CertificateAuthority;
pub use body::{Body, BoxError, ReadError, read_capped};
pub use circuit::BreakerSettings;
pub use error::CallError;
pub use measure::describe_metrics;
pub use options::CallOptions;
pub use reason::{causes, line};
pub use request::Call;
pub use retry::Retry;
pub use settings::{Afterwards, Pool, UpstreamSettings};
pub use status::{CircuitState, InstanceStatus};
pub use upstream::Upstream;
