//! `golden/<event type>.v<version>.json`: the stored form of every event at every version there ever was.
//!
//! A new event or version writes its file with `UPDATE_GOLDEN=1`; an existing file is never written again, since logs
//! hold what it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{env, fs};

use cqrs_es::persist::SerializedEvent;
use domain::{
    AGGREGATE_TYPES, capacity, delivery, email_claim, fulfilment, notification, order, payment,
    product, reservation, return_goods, sku_claim, slot, stock, user,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::samples::{self, Sample};

/// A golden file: its event type and version, from the name, and its text.
pub struct Golden {
    pub event_type: String,
    pub version: String,
    pub text: String,
}

/// Every golden file, old versions included.
#[expect(
    clippy::disallowed_methods,
    reason = "the files are the test's subject"
)]
pub fn files() -> Vec<Golden> {
    write_missing();
    let paths = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (event_type, version) = name
                .strip_suffix(".json")
                .and_then(|stem| stem.split_once(".v"))
                .unwrap_or_else(|| panic!("{name} is not named <event type>.v<version>.json"));
            Golden {
                event_type: event_type.to_owned(),
                version: version.to_owned(),
                text: fs::read_to_string(&path).unwrap(),
            }
        })
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn path_of(event_type: &str, version: &str) -> PathBuf {
    folder().join(format!("{event_type}.v{version}.json"))
}

/// Tests run side by side: what is missing is written before any of them reads.
#[expect(
    clippy::disallowed_methods,
    reason = "asks whether missing files are to be written"
)]
fn write_missing() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
            for sample in samples::all() {
                let path = path_of(&sample.event_type, &sample.event_version);
                if !path.exists() {
                    fs::write(path, sample.pretty).unwrap();
                }
            }
        }
    });
}

#[test]
fn every_event_is_stored_as_its_golden_file_shows() {
    let files = files();
    for Sample {
        event_type,
        event_version,
        pretty,
        ..
    } in samples::all()
    {
        let golden = files
            .iter()
            .find(|golden| golden.event_type == event_type && golden.version == event_version)
            .unwrap_or_else(|| {
                panic!("{event_type} {event_version} has no golden file; UPDATE_GOLDEN=1 writes it")
            });
        assert_eq!(
            pretty, golden.text,
            "{event_type} is stored otherwise than logs hold it: give it a new version"
        );
    }
}

#[test]
fn every_golden_file_still_loads() {
    for Golden {
        event_type,
        version,
        text,
    } in files()
    {
        let lifted = upcast(&event_type, &version, serde_json::from_str(&text).unwrap());
        let (aggregate_type, present) = AGGREGATE_TYPES
            .iter()
            .find_map(|aggregate| {
                let event = aggregate.events.iter().find(|it| it.name == event_type)?;
                Some((aggregate.name, event.version))
            })
            .unwrap_or_else(|| {
                panic!("no aggregate knows {event_type} any more, but logs hold it")
            });
        assert_eq!(
            major(&lifted.event_version),
            major(present),
            "no upcaster lifts {event_type} {version}"
        );
        load(aggregate_type, lifted.payload)
            .unwrap_or_else(|error| panic!("{event_type} {version}: {error}"));
    }
}

#[test]
fn an_old_version_says_what_the_present_one_says() {
    let files = files();
    let mut lifted = 0;
    for event in AGGREGATE_TYPES
        .iter()
        .flat_map(|aggregate| aggregate.events)
    {
        let versions = || {
            files
                .iter()
                .filter(|golden| golden.event_type == event.name)
        };
        let payload = |golden: &Golden| serde_json::from_str(&golden.text).unwrap();
        let present: Value = versions()
            .find(|golden| golden.version == event.version)
            .map(payload)
            .unwrap();
        for old in versions().filter(|golden| golden.version != event.version) {
            // The golden files of an event tell of one happening, each in the words of its version. One of the same major
            // version may not have a word for everything; what it does not say counts as absent.
            let read = upcast(event.name, &old.version, payload(old)).payload;
            let mut expected = present.clone();
            if major(&old.version) == major(event.version) {
                let said = read.as_object().unwrap();
                expected
                    .as_object_mut()
                    .unwrap()
                    .retain(|member, _| said.contains_key(member));
            }
            assert_eq!(read, expected, "{} {}", event.name, old.version);
            lifted += 1;
        }
    }
    assert!(lifted > 0, "there is no old version to read");
}

/// Within a major version, payloads are read as they are.
fn major(version: &str) -> &str {
    version.split('.').next().unwrap()
}

fn upcast(event_type: &str, version: &str, payload: Value) -> SerializedEvent {
    let stored = SerializedEvent::new(
        String::new(),
        1,
        String::new(),
        event_type.to_owned(),
        version.to_owned(),
        payload,
        Value::default(),
    );
    domain::upcasters().iter().fold(stored, |event, upcaster| {
        if upcaster.can_upcast(&event.event_type, &event.event_version) {
            upcaster.upcast(event)
        } else {
            event
        }
    })
}

fn load(aggregate_type: &str, payload: Value) -> serde_json::Result<()> {
    fn as_event<E: DeserializeOwned>(payload: Value) -> serde_json::Result<()> {
        serde_json::from_value::<E>(payload).map(drop)
    }
    match aggregate_type {
        "user" => as_event::<user::Event>(payload),
        "email" => as_event::<email_claim::Event>(payload),
        "product" => as_event::<product::Event>(payload),
        "sku" => as_event::<sku_claim::Event>(payload),
        "stock" => as_event::<stock::Event>(payload),
        "order" => as_event::<order::Event>(payload),
        "reservation" => as_event::<reservation::Event>(payload),
        "payment" => as_event::<payment::Event>(payload),
        "delivery" => as_event::<delivery::Event>(payload),
        "capacity" => as_event::<capacity::Event>(payload),
        "slot" => as_event::<slot::Event>(payload),
        "notification" => as_event::<notification::Event>(payload),
        "fulfilment" => as_event::<fulfilment::Event>(payload),
        "return" => as_event::<return_goods::Event>(payload),
        other => panic!("{other} has no line here"),
    }
}

#[test]
fn every_event_type_has_a_golden_file_of_its_present_version() {
    let files: BTreeSet<(String, String)> = files()
        .into_iter()
        .map(|golden| (golden.event_type, golden.version))
        .collect();
    for event in AGGREGATE_TYPES
        .iter()
        .flat_map(|aggregate| aggregate.events)
    {
        let key = (event.name.to_owned(), event.version.to_owned());
        assert!(
            files.contains(&key),
            "{} has no golden file of version {}",
            event.name,
            event.version
        );
    }
}

#[test]
fn every_event_type_has_a_sample_of_its_aggregate_and_repeats_its_name() {
    let listed: BTreeMap<&str, &str> = AGGREGATE_TYPES
        .iter()
        .flat_map(|aggregate| {
            aggregate
                .events
                .iter()
                .map(|event| (event.name, aggregate.name))
        })
        .collect();
    let listings: usize = AGGREGATE_TYPES
        .iter()
        .map(|aggregate| aggregate.events.len())
        .sum();
    assert_eq!(listed.len(), listings, "two events have one name");

    let samples = samples::all();
    let sampled: BTreeMap<&str, &str> = samples
        .iter()
        .map(|sample| (sample.event_type.as_str(), sample.aggregate_type))
        .collect();
    assert_eq!(sampled, listed);
    for sample in &samples {
        assert_eq!(sample.payload["type"], sample.event_type.as_str());
    }
}

#[test]
fn the_event_types_are_the_published_ones() {
    let names: BTreeSet<&str> = AGGREGATE_TYPES
        .iter()
        .flat_map(|aggregate| aggregate.events)
        .map(|event| event.name)
        .collect();
    let published = BTreeSet::from([
        "capacity.changed",
        "delivery.assigned",
        "delivery.cancelled",
        "delivery.completed",
        "delivery.failed",
        "delivery.picked-up",
        "delivery.scheduled",
        "email.claimed",
        "email.released",
        "fulfilment.attempt-failed",
        "fulfilment.cancelled",
        "fulfilment.commit-requested",
        "fulfilment.compensation-started",
        "fulfilment.completed",
        "fulfilment.delivery-cancellation-requested",
        "fulfilment.delivery-requested",
        "fulfilment.parked",
        "fulfilment.payment-requested",
        "fulfilment.refund-requested",
        "fulfilment.release-requested",
        "fulfilment.reservation-requested",
        "fulfilment.retried",
        "fulfilment.started",
        "inventory.adjusted",
        "inventory.committed",
        "inventory.low-stock",
        "inventory.out-of-stock",
        "inventory.received",
        "inventory.released",
        "inventory.reserved",
        "inventory.returned",
        "notification.attempted",
        "notification.failed",
        "notification.sent",
        "order.cancellation-requested",
        "order.cancelled",
        "order.completed",
        "order.created",
        "order.paid",
        "order.reserved",
        "order.returned",
        "order.scheduled",
        "payment.completed",
        "payment.failed",
        "payment.initiated",
        "payment.refund-failed",
        "payment.refund-requested",
        "payment.refunded",
        "product.created",
        "product.discontinued",
        "product.price-changed",
        "product.updated",
        "reservation.committed",
        "reservation.confirmed",
        "reservation.rejected",
        "reservation.released",
        "return.attempt-failed",
        "return.completed",
        "return.parked",
        "return.refund-requested",
        "return.restock-requested",
        "return.retried",
        "return.started",
        "sku.claimed",
        "slot.booked",
        "slot.released",
        "user.address-added",
        "user.deactivated",
        "user.erased",
        "user.password-changed",
        "user.preferences-changed",
        "user.registered",
        "user.role-assigned",
        "user.updated",
    ]);
    assert_eq!(names, published);
}
