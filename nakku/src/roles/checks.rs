//! What a role's readiness rests on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eventstore::{KafkaSettings, Relay};
use http_server::health::Check;
use read_models::search::SearchReader;
use read_models::status;
use sqlx::PgPool;

/// How long an answer of the brokers counts: asking them costs a connection each time.
const KAFKA_ANSWER_AGE_MAX: Duration = Duration::from_secs(5);

/// When the brokers were asked, and what they said.
type Answer = (Instant, Result<String, String>);

/// The database answers.
pub(super) fn postgres(pool: PgPool) -> Check {
    Check::new("postgres", move || {
        let pool = pool.clone();
        async move {
            let version: String = sqlx::query_scalar("show server_version")
                .fetch_one(&pool)
                .await
                .map_err(|error| error.to_string())?;
            Ok(format!("version {version}"))
        }
    })
}

/// The brokers answer and have the topics.
pub(super) fn kafka(settings: KafkaSettings) -> Check {
    let last: Arc<Mutex<Option<Answer>>> = Arc::default();
    Check::new("kafka", move || {
        let settings = settings.clone();
        let last = Arc::clone(&last);
        async move {
            let known = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((at, answer)) = known
                && at.elapsed() < KAFKA_ANSWER_AGE_MAX
            {
                return answer;
            }
            let answer = match eventstore::missing_topics(&settings).await {
                Ok(missing) if missing.is_empty() => {
                    Ok(format!("{} topics", settings.topic_names().len()))
                }
                Ok(missing) => Err(format!(
                    "no topic {}, run `nakku topics`",
                    missing.join(", ")
                )),
                Err(error) => Err(error.to_string()),
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), answer.clone()));
            answer
        }
    })
}

/// Somebody leads the relay; a stand-by beside a leader is as ready as the leader.
pub(super) fn relay(pool: PgPool) -> Check {
    Check::new("relay", move || {
        let pool = pool.clone();
        async move {
            let status = Relay::status(&pool)
                .await
                .map_err(|error| error.to_string())?;
            match status.leader {
                Some(leader) => Ok(format!("led by {leader}, {} pending", status.pending)),
                None => Err("nobody leads".to_owned()),
            }
        }
    })
}

/// A read model's writer is at work, here or elsewhere.
pub(super) fn projection(pool: PgPool, consumer: String) -> Check {
    let name = format!("projection {}", read_models::model(&consumer));
    Check::new(name, move || {
        let (pool, consumer) = (pool.clone(), consumer.clone());
        async move {
            let rows = status::list(&pool, Some(&consumer))
                .await
                .map_err(|error| error.to_string())?;
            let Some(row) = rows.first() else {
                return Err("not registered yet".to_owned());
            };
            if let Some(failure) = &row.failure {
                return Err(failure.clone());
            }
            let state = row.state.as_str();
            match (row.generation, &row.owner) {
                (None, _) => Err("being built".to_owned()),
                (Some(_), None) => Err(format!("{state} at {}, written by nobody", row.position)),
                (Some(_), Some(owner)) => Ok(format!(
                    "{state} at {}, {} behind, written by {owner}",
                    row.position, row.lag_events
                )),
            }
        }
    })
}

/// A read model of this program's shape answers queries.
pub(super) fn readable(pool: PgPool, model: &'static str) -> Check {
    Check::new(format!("read model {model}"), move || {
        let pool = pool.clone();
        async move {
            let now = tokio::time::Instant::now();
            let live = read_models::positions::await_position(&pool, model, 0, now)
                .await
                .map_err(|error| error.to_string())?;
            Ok(format!(
                "generation {} at {}",
                live.generation, live.position
            ))
        }
    })
}

/// The search index is open.
pub(super) fn searchable(search: SearchReader) -> Check {
    Check::new("read model search", move || {
        let answer = match (search.snapshot(), search.generation()) {
            (Some(snapshot), Some(generation)) => Ok(format!(
                "generation {generation} at {}",
                snapshot.position()
            )),
            _ => Err("search is being built".to_owned()),
        };
        std::future::ready(answer)
    })
}
