//! The processes that the fault tests freeze and kill: `faults ROLE JSON`.

mod roles;

use anyhow::{Context, bail};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().context("usage: faults ROLE JSON")?;
    let told = arguments.next().context("usage: faults ROLE JSON")?;
    match role.as_str() {
        "writer" => roles::writer::run(serde_json::from_str(&told)?).await,
        "relay" => roles::relay::run(serde_json::from_str(&told)?).await,
        "follower" => roles::follower::run(serde_json::from_str(&told)?).await,
        "projection" => roles::projection::run(serde_json::from_str(&told)?).await,
        "reactors" => roles::reactors::run(serde_json::from_str(&told)?).await,
        "orders" => roles::orders::run(serde_json::from_str(&told)?).await,
        other => bail!("no role '{other}': writer, relay, follower, projection, reactors, orders"),
    }
}
