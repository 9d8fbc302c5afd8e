//! Households as users: each registers once, logs in in every run, and stays so for as long as the run takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::plan::Plan;
use super::progress::Progress;
use super::system::{Answer, Call, System, Unanswered};

/// Log-ins under way at once: a password is slow to check, and the system has other customers.
const LOG_INS_AT_ONCE: usize = 8;

/// The households of a plan, with the session of each.
pub(super) struct Customers<'a> {
    system: &'a System,
    households: Vec<Arc<str>>,
    sessions: Vec<Mutex<Option<Session>>>,
}

struct Session {
    access_token: String,
    refresh_token: String,
    renewed_at: Instant,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
}

/// Why a household has no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Outside {
    /// By this code.
    #[error("refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl<'a> Customers<'a> {
    pub(super) fn of(system: &'a System, plan: &Plan) -> Customers<'a> {
        let households = plan.households().to_vec();
        Customers {
            system,
            sessions: households.iter().map(|_| Mutex::default()).collect(),
            households,
        }
    }

    /// Logs everybody in before the first order, so that its time is not that of passwords. Who is refused is so again
    /// with each order, and counted there.
    ///
    /// # Errors
    /// When the system does not answer.
    pub(super) async fn log_in_all(&self, plan: &Plan) -> anyhow::Result<()> {
        let households = plan.households().len();
        let mut progress = Progress::new("customers", households);
        let mut log_ins = stream::iter(0..households)
            .map(|household| self.token(household))
            .buffer_unordered(LOG_INS_AT_ONCE);
        while let Some(token) = log_ins.next().await {
            match token {
                Ok(_) | Err(Outside::Refused(_)) => progress.moved(1, String::new),
                Err(Outside::Unanswered(error)) => return Err(error.into()),
            }
        }
        progress.finish();
        Ok(())
    }

    /// A token of the household at this place that is good for some minutes.
    pub(super) async fn token(&self, household: usize) -> Result<String, Outside> {
        // Whoever else needs it waits: a refresh token that is used twice ends the session.
        let mut session = self.sessions[household].lock().await;
        match &*session {
            Some(kept) if Instant::now() < kept.renewed_at => Ok(kept.access_token.clone()),
            Some(kept) => {
                let refreshed = self.refresh(&kept.refresh_token).await?;
                let renewed = match refreshed {
                    Some(renewed) => renewed,
                    None => self.enter(household).await?,
                };
                Ok(keep(&mut session, renewed))
            }
            None => {
                let entered = self.enter(household).await?;
                Ok(keep(&mut session, entered))
            }
        }
    }

    /// Another token than this one, which was not taken.
    pub(super) async fn another_token(
        &self,
        household: usize,
        refused: &str,
    ) -> Result<String, Outside> {
        {
            let mut session = self.sessions[household].lock().await;
            let is_kept = |kept: &Session| kept.access_token == refused;
            if session.as_ref().is_some_and(is_kept) {
                *session = None;
            }
        }
        self.token(household).await
    }

    /// Registers the household, unless an earlier run has done so, and logs it in.
    async fn enter(&self, household: usize) -> Result<Session, Outside> {
        let number = &self.households[household];
        let mut account = json!({
            "email": format!("household-{number}@demo.nakku.invalid"),
            "password": format!("demo household {number}"),
        });
        let registration = with(account.clone(), "name", format!("Household {number}"));
        let registered = self.ask("/users/register", registration).await?;
        if !registered.status.is_success() && registered.status != StatusCode::CONFLICT {
            return Err(Outside::Refused(registered.code()));
        }
        let answer = self.ask("/users/login", account.take()).await?;
        session(answer)
    }

    /// None where the session has ended meanwhile.
    async fn refresh(&self, refresh_token: &str) -> Result<Option<Session>, Outside> {
        let body = json!({"refresh_token": refresh_token});
        let answer = self.ask("/users/token/refresh", body).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        session(answer).map(Some)
    }

    async fn ask(&self, path: &str, body: Value) -> Result<Answer, Unanswered> {
        self.system.ask(&Call::post(path, body)).await
    }
}

fn with(mut body: Value, member: &str, value: String) -> Value {
    body[member] = value.into();
    body
}

fn session(answer: Answer) -> Result<Session, Outside> {
    let code = answer.code();
    let granted: Granted = answer.read().map_err(|_| Outside::Refused(code))?;
    // Three quarters of its time: what is left is more than an order waits.
    let good_for = Duration::from_secs(granted.expires_in) * 3 / 4;
    Ok(Session {
        access_token: granted.access_token,
        refresh_token: granted.refresh_token,
        renewed_at: Instant::now() + good_for,
    })
}

fn keep(place: &mut Option<Session>, session: Session) -> String {
    let token = session.access_token.clone();
    *place = Some(session);
    token
}
