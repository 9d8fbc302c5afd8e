//! The background work of a process.

use std::pin::Pin;
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::one_line::one_line;

/// What a worker gets to finish its batch and give its leases back before it is left behind.
const STOP_MAX: Duration = Duration::from_secs(15);

type Work = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Work that goes on until the process ends.
pub(super) struct Worker {
    name: &'static str,
    begin: Box<dyn FnOnce(CancellationToken) -> Work + Send>,
}

impl Worker {
    /// `begin` gets the token that asks the work to end in order. An error that it returns is one that waiting cannot mend.
    pub(super) fn new<F>(
        name: &'static str,
        begin: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Worker
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Worker {
            name,
            begin: Box::new(move |stop| Box::pin(begin(stop))),
        }
    }
}

/// Workers under way.
pub(super) struct Workers {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Workers {
    /// `stop` asks them to end; whatever else goes on in the background ends by it too.
    pub(super) fn start(workers: Vec<Worker>, stop: CancellationToken) -> Workers {
        let mut tasks = JoinSet::new();
        for Worker { name, begin } in workers {
            let work = begin(stop.clone());
            tasks.spawn(async move { work.await.map_err(|error| error.context(name)) });
        }
        Workers { tasks, stop }
    }

    /// Resolves when a worker gives up, with the reason; never while all work.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return anyhow!("a worker broke down: {error}"),
                None => std::future::pending().await,
            }
        }
    }

    /// Asks all to end and waits for them. Those that take too long are left behind: their leases expire.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut result = Ok(());
        let ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                let ended = ended.unwrap_or_else(|error| Err(error.into()));
                if let Err(error) = ended {
                    tracing::error!(error = one_line(&error), "a worker did not end well");
                    result = Err(error);
                }
            }
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            return Err(anyhow!(
                "workers did not end within {} s",
                STOP_MAX.as_secs()
            ));
        }
        result
    }
}
