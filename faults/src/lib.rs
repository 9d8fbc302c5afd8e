//! For tests only: processes, engines and connections that are frozen, killed and cut.
//!
//! What breaks here breaks for real: a role of the log runs as a process of its own ([`Child`]) and is ended or frozen by
//! the kernel, from outside or at a named point of its own code ([`At`]); servers that are restarted are real servers.
//! What remains is judged from the log.

pub mod accounts;
mod child;
pub mod history;
mod kafka;
pub mod ledger;
mod point;
mod postgres;
mod proxy;
mod schedule;
mod stalls;
pub mod trade;

pub use child::{Child, Process};
pub use kafka::Broker;
pub use point::{At, Fault};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use schedule::{Schedule, alone};
pub use stalls::Stalls;
