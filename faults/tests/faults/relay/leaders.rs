//! Two relays: one leads, the other takes over; one that was frozen and wakes changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::{KafkaSettings, Lease};
use faults::{At, Fault, Process, Schedule, Stalls, alone};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;

use super::dump::{Counts, checked, records};
use super::shop::Shop;
use super::{SOON, topics};

/// From the leader's end until its successor has published, but for the time in which the machine stood still.
const TAKE_OVER_MAX: Duration = Duration::from_secs(5);

/// Where a leader freezes: with records handed to the client, with answers in hand, before its checkpoint moves. Each with
/// how often that is passed before, a second or two of work.
const POINTS: [(&str, std::ops::Range<u64>); 3] = [
    ("relay-sent", 1_000..2_500),
    ("relay-acknowledged", 1_000..2_500),
    ("relay-saving", 12..30),
];

/// Each time a checkpoint of the relay moves: who moved it, and who led at that moment.
const AUDIT: &str = "
    create table moves (
      at timestamptz not null default clock_timestamp(),
      mover text not null, leader text not null, epoch bigint not null,
      position bigint not null
    );
    create function audit() returns trigger language plpgsql as $$
    begin
      insert into moves (mover, leader, epoch, position)
      select current_setting('application_name'), holder, epoch, new.position
      from leases where name = 'relay';
      return null;
    end $$;
    create trigger audit after insert or update on checkpoints
    for each row when (new.consumer = 'relay') execute function audit();
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_by_takes_over_and_the_one_that_wakes_changes_nothing() {
    let _alone = alone().await;
    let schedule = Schedule::of("a_stand_by_takes_over_and_the_one_that_wakes_changes_nothing");
    let rounds = schedule.times(1, 6);
    let (killed, frozen) = tokio::join!(
        kills(schedule.seed, schedule.times(2, 8)),
        freezes(schedule.seed ^ 1, rounds)
    );
    println!("relay | leader killed | taken over after {killed:.2?}");
    let (frozen, stale, counts) = frozen;
    println!(
        "relay | leader frozen | taken over after {frozen:.2?} | {stale} records of one that woke | {} events | {} repeats",
        counts.events, counts.repeats
    );
    for took in killed.into_iter().chain(frozen) {
        assert!(took <= TAKE_OVER_MAX, "taken over after {took:?}");
    }
}

async fn shop() -> (Shop, KafkaSettings) {
    let shop = Shop::open().await;
    sqlx::raw_sql(AUDIT)
        .execute(&shop.database.pool)
        .await
        .unwrap();
    let settings = topics::make(testing::kafka_brokers(), Vec::new()).await;
    (shop, settings)
}

/// Each leader is killed in turn; the stand-by leads, and a new one stands by.
async fn kills(seed: u64, rounds: usize) -> Vec<Duration> {
    let (shop, settings) = shop().await;
    let pool = &shop.database.pool;
    let stalls = Stalls::watch(&pool.connect_options()).await;
    let writing = shop.write(seed, Duration::from_millis(20));
    let mut leader = shop.relay(&settings, "relay 0", None);
    shop.led_by("relay 0").await;
    let mut took = Vec::new();
    for round in 1..=rounds {
        let holder = format!("relay {round}");
        let stand_by = ready(shop.relay(&settings, &holder, None)).await;
        shop.publishes(200).await;
        let killed = Moment::now(pool, &stalls).await;
        leader.kill();
        took.push(taken_over(pool, &stalls, &holder, killed).await);
        leader = stand_by;
    }
    writing.end().await;
    shop.all_published(SOON).await;
    let counts = checked(pool, &settings).await;
    assert_eq!(counts.repeats, 0, "Kafka was healthy");
    took
}

/// A leader freezes until another has led for a while, wakes, and leads again once that one is killed.
async fn freezes(seed: u64, rounds: usize) -> (Vec<Duration>, usize, Counts) {
    let mut random = StdRng::seed_from_u64(seed);
    let (shop, settings) = shop().await;
    let pool = &shop.database.pool;
    let stalls = Stalls::watch(&pool.connect_options()).await;
    let writing = shop.write(seed, Duration::from_millis(20));
    let mut took = Vec::new();
    // Epochs that have ended, each with the head of the log when its holder woke.
    let mut ended: Vec<(i64, i64)> = Vec::new();
    for round in 0..rounds {
        let (point, passes) = POINTS[random.random_range(0..POINTS.len())].clone();
        let at = At {
            point: point.to_owned(),
            occurrence: random.random_range(passes),
            fault: Fault::Freeze,
        };
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let sleeper = shop.relay(&settings, &first, Some(&at));
        shop.led_by(&first).await;
        let epoch = epoch(pool).await;
        let mut other = ready(shop.relay(&settings, &second, None)).await;
        sleeper.frozen(SOON).await;
        let frozen = Moment::now(pool, &stalls).await;
        took.push(taken_over(pool, &stalls, &second, frozen).await);
        shop.publishes(300).await;

        ended.push((epoch, shop.status().await.head));
        sleeper.thaw();
        shop.publishes(300).await;
        let killed = Moment::now(pool, &stalls).await;
        other.kill();
        other.ended(SOON).await;
        took.push(taken_over(pool, &stalls, &first, killed).await);
        drop(sleeper);
    }
    let last = shop.relay(&settings, "last", None);
    shop.led_by("last").await;
    writing.end().await;
    shop.all_published(SOON).await;
    drop(last);
    moved_by_leaders_only(pool).await.unwrap();
    let counts = checked(pool, &settings).await;
    let stale = published_late(&settings, &ended).await;
    (took, stale, counts)
}

/// Waits until the process is at work.
async fn ready(mut process: Process) -> Process {
    let told: Option<String> = process.told().await;
    assert_eq!(told.as_deref(), Some("ready"));
    process
}

/// By the database's clock, and how long the machine has stood still by then.
struct Moment {
    at: DateTime<Utc>,
    stalled: Duration,
}

impl Moment {
    async fn now(pool: &PgPool, stalls: &Stalls) -> Moment {
        let clock = sqlx::query_scalar("select clock_timestamp()");
        Moment {
            at: clock.fetch_one(pool).await.unwrap(),
            stalled: stalls.so_far(),
        }
    }
}

async fn epoch(pool: &PgPool) -> i64 {
    Lease::read(pool, "relay").await.unwrap().unwrap().epoch
}

/// From a moment until this holder has moved the checkpoint, less what the machine stood still meanwhile.
async fn taken_over(pool: &PgPool, stalls: &Stalls, holder: &str, since: Moment) -> Duration {
    testing::until(&format!("{holder} publishes"), SOON, async || {
        let moved = "select exists (select from moves where mover = $1 and at > $2)";
        let moved = sqlx::query_scalar(moved).bind(holder).bind(since.at);
        moved.fetch_one(pool).await.unwrap()
    })
    .await;
    let now = Moment::now(pool, stalls).await;
    let (took, stalled) = (now.at - since.at, now.stalled - since.stalled);
    println!("{holder} took over after {took}, {stalled:.2?} of which the machine stood still");
    took.to_std().unwrap().saturating_sub(stalled)
}

/// Nobody moved the checkpoint who did not lead, epochs go up, and the checkpoint never went back.
async fn moved_by_leaders_only(pool: &PgPool) -> Result<(), String> {
    let moves: Vec<(String, String, i64, i64)> =
        sqlx::query_as("select mover, leader, epoch, position from moves order by at")
            .fetch_all(pool)
            .await
            .unwrap();
    assert!(!moves.is_empty());
    let (mut last_epoch, mut last_position) = (0, 0);
    for (mover, leader, epoch, position) in moves {
        if mover != leader || epoch < last_epoch || position < last_position {
            return Err(format!(
                "{mover} moved from {last_position} to {position} when {leader} led in epoch {epoch}"
            ));
        }
        (last_epoch, last_position) = (epoch, position);
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_finds_who_moved_without_leading() {
    let database = testing::database().await;
    let pool = &database.pool;
    sqlx::raw_sql(AUDIT).execute(pool).await.unwrap();
    let _leader = Lease::acquire(pool, "relay", "leader").await.unwrap();
    let moved = async |mover: &str, position: i64| {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("select set_config('application_name', $1, true)")
            .bind(mover)
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query(
            "insert into checkpoints (consumer, position) values ('relay', $1)
             on conflict (consumer, generation, log) do update set position = excluded.position",
        )
        .bind(position)
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    };
    moved("leader", 10).await;
    moved("leader", 20).await;
    moved_by_leaders_only(pool).await.unwrap();
    moved("one that woke", 15).await;
    moved_by_leaders_only(pool).await.unwrap_err();
}

/// Records that a relay sent after it had lost the lease: only what it held when it froze.
async fn published_late(settings: &KafkaSettings, ended: &[(i64, i64)]) -> usize {
    let records = records(settings).await;
    let mut newest = std::collections::HashMap::new();
    let mut stale = 0;
    for record in &records {
        let place = (&record.event.topic, record.partition);
        let epoch = newest.entry(place).or_insert(0);
        if record.epoch < *epoch {
            stale += 1;
        }
        *epoch = record.epoch.max(*epoch);
    }
    for (epoch, head) in ended {
        let after = records
            .iter()
            .filter(|record| record.epoch == *epoch && record.event.position > *head)
            .count();
        assert_eq!(after, 0, "epoch {epoch} went on publishing after {head}");
    }
    stale
}
