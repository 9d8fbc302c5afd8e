//! Rights on topics, by the two requests of Kafka's protocol that the client library has no call for.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests, and the one version of both that is spoken here: the last without tagged fields.
const CREATE_ACLS: i16 = 30;
const DELETE_ACLS: i16 = 31;
const VERSION: i16 = 1;

const TOPIC: u8 = 2;
const LITERAL: u8 = 3;
const ALL: u8 = 2;
const WRITE: u8 = 4;
const DENY: u8 = 2;
const ALLOW: u8 = 3;

/// Answers are a few bytes for each entry.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A topic with a rule at all is closed to all that no rule lets in: so everything is allowed first.
pub(super) async fn forbid_writing(address: &str, user: &str, topic: &str) -> anyhow::Result<()> {
    let mut body = 2_i32.to_be_bytes().to_vec();
    body.extend(rule(user, topic, ALL, ALLOW));
    body.extend(rule(user, topic, WRITE, DENY));
    request(address, CREATE_ACLS, &body, 2).await
}

pub(super) async fn allow_writing(address: &str, user: &str, topic: &str) -> anyhow::Result<()> {
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.extend(rule(user, topic, WRITE, DENY));
    request(address, DELETE_ACLS, &body, 1).await
}

/// A rule to make and a filter for rules to remove look the same.
fn rule(user: &str, topic: &str, operation: u8, permission: u8) -> Vec<u8> {
    let mut bytes = vec![TOPIC];
    bytes.extend(text(topic));
    bytes.push(LITERAL);
    bytes.extend(text(&format!("User:{user}")));
    bytes.extend(text("*"));
    bytes.extend([operation, permission]);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).expect("names are short");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// Fails unless the answer has so many results and the first of them, and with it all of a kind, is a success.
async fn request(address: &str, key: i16, body: &[u8], results: i32) -> anyhow::Result<()> {
    let mut message = key.to_be_bytes().to_vec();
    message.extend(VERSION.to_be_bytes());
    // The number of the request, and a client without a name.
    message.extend(1_i32.to_be_bytes());
    message.extend((-1_i16).to_be_bytes());
    message.extend(body);
    let mut stream = TcpStream::connect(address).await?;
    stream.write_i32(i32::try_from(message.len())?).await?;
    stream.write_all(&message).await?;

    let length = usize::try_from(stream.read_i32().await?)?;
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    // After the number of the request and the throttle time.
    let results_at = answer.get(8..14).context("a short answer")?;
    let (count, code) = results_at.split_at(4);
    let count = i32::from_be_bytes(count.try_into()?);
    let code = i16::from_be_bytes(code.try_into()?);
    if (count, code) != (results, 0) {
        bail!("{count} results, the first with error {code}");
    }
    Ok(())
}
