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
//! | [`context`] | who asks what under which conditions ([`Ctx`]) |
//! | [`position`], [`page`], [`answer`] | read your writes; lists; the success of a command |
//! | [`health`], [`mod@metrics`], [`openapi`] | what operators and clients look at |

pub mod answer;
pub mod auth;
pub mod context;
pub mod edge;
pub mod headers;
pub mod health;
pub mod json;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod params;
pub mod position;
pub mod problem;
pub mod server;
pub mod tasks;
pub mod token;
pub mod trace;

pub use answer::CommandAnswer;
pub use auth::{Admin, Caller, Courier, OptionalCaller, Role, Staff};
pub use context::Ctx;
pub use edge::streaming::Streamed;
pub use edge::{EdgeConfig, Limits, edge};
pub use json::Json;
pub use page::{List, Page};
pub use params::{Path, Query};
pub use position::{MinPosition, PositionToken};
pub use problem::{Kind, Problem};
pub use server::{Server, ServerLimits};
pub use tasks::{Tasks, detach};
pub use token::{Signer, Verifier};
