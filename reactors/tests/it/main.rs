//! The reactors on a real log, and the ways out of the process against servers in processes of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod channel_email;
mod channel_log;
mod channel_webhook;
mod corrupt;
mod fulfilment;
mod last_units;
mod messages;
mod notifications;
mod patience;
mod payment_provider;
mod payment_provider_faults;
mod payments;
mod sending;
mod shop;
mod unsent;
