//! Instances that come and go.

use http_client::Retry;

use crate::fixture::*;

#[tokio::test]
async fn instances_can_be_added_and_removed_and_those_that_stay_keep_what_is_known() {
    let (one, two) = (start(&ok()), start(&ok()));
    let upstream = client(&[&one]);
    for _ in 0..10 {
        assert_eq!(
            status(&upstream, get(), options(Retry::Safe)).await,
            Ok(200)
        );
    }
    upstream.set_instances(&urls(&[&one, &two, &two]));
    let known = upstream.status();
    assert_eq!(known.len(), 2);
    assert_eq!((known[0].requests, known[1].requests), (10, 0));
    testing::until("the new instance is asked", LONG, async || {
        assert_eq!(
            status(&upstream, get(), options(Retry::Safe)).await,
            Ok(200)
        );
        !two.process.requests().is_empty()
    })
    .await;
    // The connection stayed as well.
    assert_eq!(one.process.connections().len(), 1);
    upstream.set_instances(&urls(&[&two]));
    let before = one.process.requests().len();
    for _ in 0..10 {
        assert_eq!(
            status(&upstream, get(), options(Retry::Safe)).await,
            Ok(200)
        );
    }
    assert_eq!(one.process.requests().len(), before);
    upstream.set_instances(&[]);
    let told = status(&upstream, get(), options(Retry::Safe)).await;
    assert!(is_not_sent(&told), "{told:?}");
}
