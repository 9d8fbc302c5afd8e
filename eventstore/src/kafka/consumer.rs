//! A client that reads, as the program's tasks need it.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use tokio::sync::Notify;

/// Wakes who waits for records, and is closed where waiting for the brokers holds up nobody.
pub(crate) struct Consumer<C: ConsumerContext + 'static> {
    /// Taken when it is closed.
    client: Option<BaseConsumer<C>>,
    nonempty: Arc<Notify>,
}

impl<C: ConsumerContext + 'static> Consumer<C> {
    /// Does not wait for the brokers.
    pub(crate) fn new(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let mut client = BaseConsumer::from_config_and_context(config, context)?;
        let nonempty = Arc::new(Notify::new());
        let wake = Arc::clone(&nonempty);
        client.set_nonempty_callback(move || wake.notify_one());
        Ok(Self {
            client: Some(client),
            nonempty,
        })
    }

    /// Told when the client's queue has something again.
    pub(crate) fn nonempty(&self) -> Arc<Notify> {
        Arc::clone(&self.nonempty)
    }

    /// Closes it, and waits for that.
    pub(crate) async fn close(mut self) {
        let client = self.client.take();
        let _ = tokio::task::spawn_blocking(move || drop(client)).await;
    }
}

impl<C: ConsumerContext + 'static> Deref for Consumer<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        self.client.as_ref().expect("taken only when closed")
    }
}

impl<C: ConsumerContext + 'static> Drop for Consumer<C> {
    /// Closing waits for the brokers: not on a thread that drives futures.
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(client))),
            Err(_) => drop(client),
        }
    }
}
