//! What answers events with work, and the ways out of the process that it needs.
//!
//! | module | is |
//! |---|---|
//! | [`fulfilment`] | the sagas: told what happened, they ask for the next step |
//! | [`inventory`], [`payment`], [`delivery`] | the participants: answer the sagas' requests |
//! | [`notification`] | tells users what happened |
//! | [`payment_provider`] | the port to whoever moves money: built in, or over HTTP; idempotent by key |
//! | [`channel`] | the ways to a user: mail, web hook, log; each says whether a message may be sent again |

#![warn(missing_docs)]

mod command;

pub mod channel;
pub mod delivery;
pub mod fulfilment;
pub mod inventory;
pub mod notification;
pub mod payment;
pub mod payment_provider;

pub use http_client::{CertificateAuthority, SettingError};
