//! Load on a fixed schedule. A request that had to wait for its turn has waited, so that a stall counts for every request
//! that it held up, and not only for the one that met it.

use std::time::Duration;

use axum::http::StatusCode;
use http_client::{Answer, Call, CallError, CallOptions, Pool, ServiceUrl, Upstream};
use http_client::{Retry, UpstreamSettings};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// More than are ever under way at once while all is well.
const CONNECTIONS: usize = 200;
/// Longer than the gateway takes for its last word.
const DEADLINE: Duration = Duration::from_secs(20);
/// The largest answer is that of `/metrics`.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of the text of an answer that was not wanted, in details.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// When requests are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    begin: Instant,
    rate: u32,
    pub(super) count: u32,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) due: Instant,
    /// From when it was due until its answer was read.
    pub(super) took: Duration,
    /// Why it has no wanted answer.
    pub(super) failure: Option<String>,
}

impl Schedule {
    pub(super) fn new(begin: Instant, rate: u32, duration: Duration) -> Self {
        let count = duration.as_secs_f64() * f64::from(rate);
        // Bounded by the rate and the length of a run, both far below 2^32 in all.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = count.round().max(1.0) as u32;
        Self { begin, rate, count }
    }

    fn due(&self, number: u32) -> Instant {
        self.begin + Duration::from_secs_f64(f64::from(number) / f64::from(self.rate))
    }
}

/// A client that sends each request once: what fails has failed.
pub(super) fn client(url: &ServiceUrl) -> anyhow::Result<Upstream> {
    let settings = UpstreamSettings {
        pool: Pool {
            idle_per_instance: CONNECTIONS,
            idle_in_all: CONNECTIONS,
            ..Pool::default()
        },
        breaker: None,
        attempts_max: 1,
        ..UpstreamSettings::default()
    };
    Ok(Upstream::new("bench", std::slice::from_ref(url), settings)?)
}

/// Sends one request, once.
pub(super) async fn send(client: &Upstream, call: Call) -> Result<Answer, CallError> {
    let options = CallOptions::once(DEADLINE);
    client.send(call, options, ANSWER_BYTES_MAX).await
}

/// Sends requests when they are due, each once, and awaits all answers. `wanted` are the statuses of those that count.
pub(super) async fn run(
    client: &Upstream,
    schedule: Schedule,
    wanted: fn(StatusCode) -> bool,
    call: impl Fn(u32) -> Call,
) -> Vec<Sample> {
    let options = CallOptions::once(DEADLINE);
    run_with(client, schedule, wanted, options, call).await
}

/// As [`run`], with repetitions of what may be repeated.
pub(super) async fn run_safe(
    client: &Upstream,
    schedule: Schedule,
    call: impl Fn(u32) -> Call,
) -> Vec<Sample> {
    let options = CallOptions {
        retry: Retry::Safe,
        attempt: DEADLINE / 2,
        ..CallOptions::once(DEADLINE)
    };
    run_with(
        client,
        schedule,
        |status| status.is_success(),
        options,
        call,
    )
    .await
}

async fn run_with(
    client: &Upstream,
    schedule: Schedule,
    wanted: fn(StatusCode) -> bool,
    options: CallOptions,
    call: impl Fn(u32) -> Call,
) -> Vec<Sample> {
    let mut running = JoinSet::new();
    for number in 0..schedule.count {
        let due = schedule.due(number);
        sleep_until(due).await;
        let (client, call, options) = (client.clone(), call(number), options.clone());
        running.spawn(async move {
            let answer = client.send(call, options, ANSWER_BYTES_MAX).await;
            Sample {
                due,
                took: due.elapsed(),
                failure: failure(answer, wanted),
            }
        });
    }
    running.join_all().await
}

/// Why an answer is none of those that are wanted.
pub(super) fn failure(
    answer: Result<Answer, CallError>,
    wanted: fn(StatusCode) -> bool,
) -> Option<String> {
    match answer {
        Ok(answer) if wanted(answer.status) => None,
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let text: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
            Some(format!("{} {text}", answer.status))
        }
        Err(error) => Some(error.to_string()),
    }
}

/// How many have failed, and the first of the reasons.
pub(super) fn failures<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
) -> (u32, Option<&'a str>) {
    let mut count = 0;
    let mut first = None;
    for failure in samples
        .into_iter()
        .filter_map(|sample| sample.failure.as_deref())
    {
        count += 1;
        first = first.or(Some(failure));
    }
    (count, first)
}

/// The time within which this share of the requests is answered, in milliseconds; 0 of none.
pub(super) fn percentile<'a>(samples: impl IntoIterator<Item = &'a Sample>, share: f64) -> f64 {
    let times = samples.into_iter().map(|sample| sample.took);
    nth(times.collect(), share)
}

/// The nearest rank.
pub(super) fn nth(mut times: Vec<Duration>, share: f64) -> f64 {
    times.sort_unstable();
    // Counts are far below 2^53, and the share is within 0..=1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (times.len() as f64 * share).ceil() as usize;
    let time = times.get(rank.max(1) - 1);
    time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let times = || (1..=200).map(Duration::from_millis).rev().collect();
        let shown = [0.0, 0.5, 0.99, 1.0].map(|share| nth(times(), share).round() as u32);
        assert_eq!(shown, [1, 100, 198, 200]);
        assert!(nth(Vec::new(), 0.99).abs() < 1e-9);
    }

    #[test]
    fn a_schedule_has_as_many_requests_as_its_rate_and_time_say() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 500, Duration::from_secs(2));
        assert_eq!(schedule.count, 1_000);
        assert_eq!(schedule.due(500), begin + Duration::from_secs(1));
        assert_eq!(Schedule::new(begin, 1, Duration::from_millis(1)).count, 1);
    }
}
