//! Taking up what operators asked for: retries and discards.

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::parked::Parked;
use super::{Halt, HandleError, Handler, RunError, Runner, holds};
use crate::checkpoint::Checkpoint;
use crate::dead_letters::{self, ParkedStream, StreamName};
use crate::event::RecordedEvent;
use crate::log;

/// Events of a parked stream handed over at once.
const PAGE: i64 = 256;

impl Runner {
    /// Looks what is parked, discarded and to be retried, and retries.
    pub(super) async fn take_requests(
        &mut self,
        handler: &mut dyn Handler,
        checkpoint: Checkpoint,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        let streams = self.load(checkpoint, stop).await?;
        for stream in streams {
            if stream.retry {
                self.retry(handler, checkpoint, stream.name, stop).await?;
            }
        }
        self.report_parked();
        Ok(())
    }

    async fn load(
        &mut self,
        checkpoint: Checkpoint,
        stop: &CancellationToken,
    ) -> Result<Vec<ParkedStream>, Halt> {
        let pool = self.store.pool();
        let consumers: Vec<&str> = std::iter::once(self.consumer.as_str())
            .chain(self.options.discards_of.iter().map(String::as_str))
            .collect();
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        let (streams, discarded) = loop {
            let loaded = async {
                let streams = dead_letters::streams(pool, &self.consumer).await?;
                let after = checkpoint.position;
                let discarded = dead_letters::skipped_after(pool, &consumers, after).await?;
                Ok::<_, sqlx::Error>((streams, discarded))
            };
            match loaded.await {
                Ok(loaded) => break loaded,
                Err(error) => backoff.pause("reading dead letters", &error).await?,
            }
        };
        let names = streams
            .iter()
            .map(|stream| (stream.name.clone(), stream.first));
        self.parked = Parked::new(self.options.parks_with, names, discarded);
        Ok(streams)
    }

    /// Hands the events of a parked stream over, in order, from the log; those that have their effect leave
    /// the dead letters. The checkpoint stays: only those before it are handed over. The feed yields the rest,
    /// after what is before them.
    async fn retry(
        &mut self,
        handler: &mut dyn Handler,
        checkpoint: Checkpoint,
        stream: StreamName,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        tracing::info!(
            consumer = self.consumer,
            stream_type = stream.0,
            stream_id = stream.1,
            "retrying a parked stream"
        );
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        let begun = loop {
            match dead_letters::now(self.store.pool()).await {
                Ok(now) => break now,
                Err(error) => backoff.pause("retrying a parked stream", &error).await?,
            }
        };
        loop {
            let page = self.page(&stream, checkpoint.position, stop).await?;
            let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
            let pool = self.store.pool();
            if page.is_empty() {
                let after = checkpoint.position;
                let (consumer, stream) = (&self.consumer, &stream);
                while let Err(error) =
                    dead_letters::unpark_after(pool, consumer, stream, after, begun).await
                {
                    backoff.pause("releasing a stream", &error).await?;
                }
                fail::fail_point!("feed-released");
                self.parked.release(stream);
                return Ok(());
            }
            let (handled, failure) = self.offer(handler, page, &checkpoint, stop).await?;
            fail::fail_point!("feed-retried");
            let positions: Vec<i64> = handled.iter().map(|event| event.position).collect();
            while let Err(error) = dead_letters::handled(pool, &self.consumer, &positions).await {
                backoff.pause("removing dead letters", &error).await?;
            }
            if let Some((position, error)) = failure {
                while let Err(error) =
                    dead_letters::failed(pool, &self.consumer, &stream, position, &error).await
                {
                    backoff.pause("noting a failed retry", &error).await?;
                }
                return Ok(());
            }
        }
    }

    /// The first parked events of a stream, read from the log.
    async fn page(
        &self,
        stream: &StreamName,
        upto: i64,
        stop: &CancellationToken,
    ) -> Result<Vec<RecordedEvent>, Halt> {
        let pool = self.store.pool();
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        loop {
            let read = async {
                let consumer = &self.consumer;
                let positions = dead_letters::waiting(pool, consumer, stream, upto, PAGE).await?;
                log::read_at(pool, &positions).await
            };
            match read.await {
                Ok(events) => {
                    let upcast = |event| self.store.upcast(event);
                    return Ok(events.into_iter().map(upcast).collect());
                }
                Err(error) => backoff.pause("reading parked events", &error).await?,
            }
        }
    }

    /// Hands a page over, and where one of it fails, what is before that one.
    async fn offer(
        &self,
        handler: &mut dyn Handler,
        mut page: Vec<RecordedEvent>,
        checkpoint: &Checkpoint,
        stop: &CancellationToken,
    ) -> Result<(Vec<RecordedEvent>, Failure), Halt> {
        let mut backoff = Backoff::new(&self.consumer, &self.options, stop);
        let mut failure = None;
        while !page.is_empty() {
            match handler.handle(&page, checkpoint).await {
                Ok(()) => break,
                Err(HandleError::Fenced(reason)) => return Err(RunError::Fenced(reason).into()),
                Err(HandleError::Poison { position, error }) if holds(&page, position) => {
                    page.retain(|event| event.position < position);
                    failure = Some((position, error));
                }
                Err(error @ (HandleError::Transient(_) | HandleError::Poison { .. })) => {
                    backoff.pause("retrying a parked stream", &error).await?;
                }
            }
        }
        Ok((page, failure))
    }
}

/// Where a page broke off: the position that failed, and why.
type Failure = Option<(i64, String)>;
