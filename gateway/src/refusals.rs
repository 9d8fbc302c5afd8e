//! The problem of a request that no upstream could take. It names the service, never an address.

use std::time::Duration;

use axum::http::StatusCode;
use http_client::CallError;
use http_server::{Kind, Problem};

use crate::routes::Service;

/// What a client is told to wait where the client of the service does not know better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One code, by status: nobody was there, the connection broke, nothing came in time.
const UNREACHABLE: Kind = Kind::SERVICE_UNREACHABLE;
const BROKE_OFF: Kind = Kind {
    status: StatusCode::BAD_GATEWAY,
    ..UNREACHABLE
};
const TOOK_TOO_LONG: Kind = Kind {
    status: StatusCode::GATEWAY_TIMEOUT,
    ..UNREACHABLE
};

/// Of whom something was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) service: Service,
    /// Whether an answer that was lost may have come of something that was done.
    pub(crate) has_effect: bool,
}

pub(crate) fn problem(asked: Asked, error: &CallError) -> Problem {
    let service = asked.service.name();
    tracing::warn!(service, %error, "no answer from a service");
    match error {
        CallError::NotSent { retry_after, .. } => Problem::from(UNREACHABLE)
            .detail(format!("service {service} cannot be reached; nothing was done"))
            .retry_after(retry_after.unwrap_or(RETRY_AFTER)),
        CallError::Unknown { .. } if asked.has_effect => Problem::outcome_unknown().detail(format!(
            "service {service} did not answer; repeat the request with the same Idempotency-Key to learn its outcome"
        )),
        CallError::Unknown { is_timeout, .. } => {
            let (kind, how) = match *is_timeout {
                true => (TOOK_TOO_LONG, "in time"),
                false => (BROKE_OFF, "to the end"),
            };
            Problem::from(kind)
                .detail(format!("service {service} did not answer {how}"))
                .retry_after(RETRY_AFTER)
        }
        CallError::Answered { status, .. } => Problem::from(BROKE_OFF)
            .detail(format!("service {service} answered {status}"))
            .retry_after(RETRY_AFTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(has_effect: bool, error: &CallError) -> (u16, String, String) {
        let asked = Asked {
            service: Service::Orders,
            has_effect,
        };
        let document = problem(asked, error).document(None);
        (document.status, document.code, document.detail)
    }

    #[test]
    fn what_is_certain_is_said_and_where_nobody_knows_that_too() {
        let not_sent = || CallError::NotSent {
            why: "connect to 10.0.0.7:8081: refused".to_owned(),
            retry_after: None,
        };
        let unknown = |is_timeout| CallError::Unknown {
            why: "10.0.0.7:8081: reset".to_owned(),
            is_timeout,
        };
        for (has_effect, error, status, code) in [
            (true, not_sent(), 503, "service-unreachable"),
            (false, not_sent(), 503, "service-unreachable"),
            (true, unknown(false), 503, "outcome-unknown"),
            (true, unknown(true), 503, "outcome-unknown"),
            (false, unknown(false), 502, "service-unreachable"),
            (false, unknown(true), 504, "service-unreachable"),
        ] {
            let (told_status, told_code, detail) = of(has_effect, &error);
            assert_eq!((told_status, told_code.as_str()), (status, code));
            assert!(detail.contains("orders"), "{detail}");
            assert!(!detail.contains("10.0.0.7"), "{detail}");
        }
    }
}
