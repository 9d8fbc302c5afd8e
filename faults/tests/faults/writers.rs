//! Sixteen writers in four processes on one log, and those who follow it: what holds whatever dies, and that it would be seen if
//! it did not hold.

mod checks;
mod evidence;
mod fleet;
mod plants;
mod readers;
mod run;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faults::history::Answer;
use faults::{Postgres, Schedule, alone};

use self::checks::{check, counted, shown};
use self::evidence::Evidence;
use self::fleet::Site;
use self::plants::{PLANTS, Plant};
use self::run::{Run, Survived};

/// How long a planted bug gets to show, and how often.
const PLANTED_FOR: Duration = Duration::from_secs(2);
const TRIES_MAX: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_lose_nothing_whatever_dies() {
    const DATABASE: &str = "log";
    let _alone = alone().await;
    let schedule = Schedule::of("writers_lose_nothing_whatever_dies");
    let mut postgres = Postgres::start().await;
    postgres.create_log(DATABASE).await;
    let password_and_port = postgres.url(DATABASE, postgres.port());
    let site = site(password_and_port, postgres.port());
    let began = Instant::now();
    let mut run = Run::start(&site, &PLANTS[0], schedule.seed).await;
    run.suffer(&mut postgres, &schedule).await;
    let (evidence, survived) = run.finish().await;
    println!("{}", summary(&evidence, &survived, began.elapsed()));
    let violations = check(&evidence);
    assert!(violations.is_empty(), "\n{}", shown(&violations));
    assert_was_hard(&evidence, &survived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_bugs_are_caught() {
    let _alone = alone().await;
    let schedule = Schedule::of("planted_bugs_are_caught");
    let mut missed = Vec::new();
    let mut table = format!("{:<62} | caught by\n", "planted");
    for plant in PLANTS {
        let began = Instant::now();
        let (row, is_as_it_should_be) = try_plant(plant, schedule.seed).await;
        let took = began.elapsed();
        table += &format!("{:<62} | {row}, {took:.1?}\n", plant.name);
        if !is_as_it_should_be {
            missed.push(plant.name);
        }
    }
    println!("\n{table}");
    assert!(missed.is_empty(), "not as it should be: {missed:?}");
}

/// Runs with a planted bug until it is caught by the checker that has to; without one, once. What to show, and whether it is as it
/// should be.
async fn try_plant(plant: &Plant, seed: u64) -> (String, bool) {
    for try_number in 1..=TRIES_MAX {
        let database = testing::database().await;
        let port = database.pool.connect_options().get_port();
        let site = site(database.url.clone(), port);
        let run = Run::start(&site, plant, seed.wrapping_add(try_number)).await;
        tokio::time::sleep(PLANTED_FOR).await;
        let (evidence, _) = run.finish().await;
        let violations = check(&evidence);
        let counts = counted(&violations);
        if plant.is_none() {
            let calls = evidence.calls.len();
            return match violations.is_empty() {
                true => (format!("nobody, in {calls} calls"), true),
                false => (shown(&violations), false),
            };
        }
        if plant
            .caught_by
            .iter()
            .any(|checker| counts.contains_key(checker))
        {
            return (format!("try {try_number}: {counts:?}"), true);
        }
    }
    (format!("NOBODY in {TRIES_MAX} tries"), false)
}

/// The log at this address, through any port that leads to it.
fn site(url: String, port: u16) -> Site {
    let own = format!(":{port}/");
    assert!(url.contains(&own), "an address names its port");
    Site {
        port,
        url: Box::new(move |port| url.replace(&own, &format!(":{port}/"))),
    }
}

/// A run in which nothing happened would prove nothing.
fn assert_was_hard(evidence: &Evidence, survived: &Survived) {
    let counts = outcomes(evidence);
    for outcome in [
        "done",
        "done again",
        "refused",
        "mismatch",
        "unknown",
        "killed",
    ] {
        assert!(
            counts.contains_key(outcome),
            "no call was {outcome}: {counts:?}"
        );
    }
    assert!(survived.swallowed > 0, "no answer was lost on the way");
    assert!(survived.reader_restarts > 0, "no reader was restarted");
}

/// How many calls ended how.
fn outcomes(evidence: &Evidence) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in &evidence.calls {
        let outcome = match &call.answered {
            None => "killed",
            Some((_, answer)) => match answer {
                Answer::Done { replayed: true, .. } => "done again",
                Answer::Done { events: 0, .. } => "looked",
                Answer::Done { .. } => "done",
                Answer::Refused { .. } => "refused",
                Answer::Mismatch { .. } => "mismatch",
                Answer::NotDone => "not done",
                Answer::Unknown => "unknown",
                Answer::Strange(_) => "strange",
            },
        };
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

fn summary(evidence: &Evidence, survived: &Survived, took: Duration) -> String {
    format!(
        "{} events, {} calls in {took:.1?}: {:?}\nsurvived: {survived:?}",
        evidence.log.len(),
        evidence.calls.len(),
        outcomes(evidence)
    )
}
