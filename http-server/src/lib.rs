//! What every HTTP role shares, and nothing about the business.
//!
//! A role builds an [`axum::Router`] from the extractors and answers here, wraps it once with
//! [`edge()`], merges the [`health::operations`] routes and hands it to [`Server::serve`].
//!
//! | module | is |
//! |---|---|
//! | [`server`] | the accept loop: header time-out, bounded connections, bounded drain |
//! | [`mod@edge`] | the layer around every route: problems, limits, metrics, trace, caller |
//! | [`tasks`] | work that must not end when its client goes away |
//! | [`problem`] | RFC 9457 answers and the table of their codes |
//! | [`json`], [`params`] | bodies, path and query, each refused as a problem |
//! | [`auth`], [`token`] | roles and callers; the form of bearer tokens, signed and verified |
//! | `service_token`, `forwarded` | what counts of what services and proxies say |
//! | [`context`], `arrival`, `patience` | who asks what under which conditions ([`Ctx`]), and how long for ([`Arrival`]) |
//! | [`position`], [`page`], [`answer`] | read your writes; lists; the success of a command |
//! | [`compression`] | of answers that are the same for everybody |
//! | [`health`], [`mod@metrics`], [`openapi`] | what operators and clients look at |

pub mod answer;
mod arrival;
pub mod auth;
pub mod compression;
pub mod context;
pub mod edge;
mod forwarded;
pub mod headers;
pub mod health;
pub mod json;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod params;
mod patience;
pub mod position;
pub mod problem;
pub mod server;
mod service_token;
pub mod tasks;
pub mod token;
pub mod trace;

pub use answer::CommandAnswer;
pub use arrival::Arrival;
pub use auth::{Admin, Caller, Courier, OptionalCaller, Role, Staff};
pub use context::Ctx;
pub use edge::streaming::Streamed;
pub use edge::{EdgeConfig, Limits, edge};
pub use forwarded::TrustedProxies;
pub use json::Json;
pub use page::{List, Page};
pub use params::{Path, Query};
pub use position::{MinPosition, PositionToken};
pub use problem::{Kind, Problem};
pub use server::{Server, ServerLimits};
pub use service_token::ServiceToken;
pub use tasks::{Tasks, detach};
pub use token::{Signer, Verifier};
