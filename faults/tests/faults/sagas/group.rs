//! Members of a consumer group that were killed.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer of a broker that is up.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Kafka's `LeaveGroup`, in the version that still has plain lengths.
const LEAVE_GROUP: i16 = 13;
const LEAVE_GROUP_VERSION: i16 = 3;

/// Has the broker forget the members of groups. All of them are dead; it would notice after six seconds of silence.
pub(super) async fn bury<const N: usize>(brokers: &str, groups: [String; N]) {
    let address = brokers.to_owned();
    let dead = tokio::task::spawn_blocking(move || members(&address, groups))
        .await
        .unwrap();
    let mut broker = TcpStream::connect(brokers).await.unwrap();
    for (group, members) in dead {
        if members.is_empty() {
            continue;
        }
        broker.write_all(&leave(&group, &members)).await.unwrap();
        let length = broker.read_i32().await.unwrap();
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        broker.read_exact(&mut answer).await.unwrap();
        // Correlation id, throttle time, error.
        assert_eq!(answer[8..10], [0, 0], "{group}: {answer:?}");
    }
}

fn members<const N: usize>(brokers: &str, groups: [String; N]) -> [(String, Vec<String>); N] {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    groups.map(|group| {
        let list = client.fetch_group_list(Some(&group), ANSWER_MAX).unwrap();
        let members = list.groups().iter().flat_map(GroupInfo::members);
        let members = members.map(|member| member.id().to_owned()).collect();
        (group, members)
    })
}

fn leave(group: &str, members: &[String]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(LEAVE_GROUP.to_be_bytes());
    request.extend(LEAVE_GROUP_VERSION.to_be_bytes());
    // Correlation id.
    request.extend(1_i32.to_be_bytes());
    text(&mut request, "faults");
    text(&mut request, group);
    request.extend(i32::try_from(members.len()).unwrap().to_be_bytes());
    for member in members {
        text(&mut request, member);
        // No static id.
        request.extend((-1_i16).to_be_bytes());
    }
    let mut framed = Vec::from(i32::try_from(request.len()).unwrap().to_be_bytes());
    framed.extend(request);
    framed
}

fn text(request: &mut Vec<u8>, text: &str) {
    request.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    request.extend(text.as_bytes());
}
