//! Several instances, half of them dead.

use futures::{StreamExt, stream};
use http_client::Retry;

use crate::fixture::*;

const CALLS: usize = 300;
const AT_ONCE: usize = 4;

#[tokio::test]
async fn while_half_of_the_instances_are_dead_no_call_fails_and_each_key_has_one_effect() {
    let mut dead = [start(&ok()), start(&ok())];
    let alive = [start(&ok()), start(&ok())];
    let upstream = client(&[&dead[0], &alive[0], &dead[1], &alive[1]]);
    for one in &mut dead {
        one.process.kill();
    }
    let statuses: Vec<_> = stream::iter(0..CALLS)
        .map(|number| {
            let upstream = upstream.clone();
            async move {
                match number % 2 {
                    0 => status(&upstream, get(), options(Retry::Safe)).await,
                    _ => {
                        let key = format!("key-{number}");
                        status(&upstream, post(&key), options(Retry::Keyed)).await
                    }
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for status in &statuses {
        assert_eq!(*status, Ok(200));
    }
    let effects: usize = alive.iter().map(|one| one.process.effects().len()).sum();
    assert_eq!(effects, CALLS / 2);
}

#[tokio::test]
async fn an_instance_killed_under_way_fails_no_call_and_comes_back() {
    let mut one = start(&ok());
    let (two, three) = (start(&ok()), start(&ok()));
    let upstream = client(&[&one, &two, &three]);
    let call = async |number: usize| {
        let key = format!("key-{number}");
        let told = status(&upstream, post(&key), options(Retry::Keyed)).await;
        assert_eq!(told, Ok(200), "{number}");
    };
    // Together, so that each instance has some and keeps connections.
    futures::future::join_all((0..30).map(&call)).await;
    let before = one.process.requests().len();
    assert!(before > 0);
    one.process.kill();
    for number in 30..130 {
        call(number).await;
    }
    one.process.restart();
    let mut number = 130;
    testing::until("the instance is asked again", 3 * LONG, async || {
        call(number).await;
        number += 1;
        one.process.requests().len() > before
    })
    .await;
}

#[tokio::test]
async fn even_what_must_not_be_repeated_goes_on_to_another_where_it_was_not_sent() {
    let mut dead = start(&ok());
    let alive = start(&ok());
    let upstream = client(&[&dead, &alive]);
    dead.process.kill();
    for number in 0..20 {
        let key = format!("key-{number}");
        let told = status(&upstream, post(&key), options(Retry::Never)).await;
        assert_eq!(told, Ok(200), "{number}");
    }
    assert_eq!(alive.process.requests().len(), 20);
}
