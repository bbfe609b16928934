//! The shutdown of a program: graceful at first, then forced.

use std::{future::Future, io, time::Duration};

use anyhow::{Context as _, Result};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tells the parts of a program that it is shutting down.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled when the program is asked to end: begin nothing new, finish what has begun.
    pub soft: CancellationToken,
    /// Cancelled when it is asked again, or the time is up: let go of everything.
    pub hard: CancellationToken,
    /// Tracks every task that the shutdown waits for.
    pub tasks: TaskTracker,
}

impl Shutdown {
    /// Begins to watch for SIGTERM and SIGINT; from the first one on, the program has `patience` to end.
    ///
    /// # Errors
    ///
    /// Fails when the signals cannot be watched.
    pub fn on_signals(patience: Duration) -> Result<Self> {
        let mut signals = Signals::watch().context("watching for signals")?;
        let shutdown = Self::default();
        let (soft, hard) = (shutdown.soft.clone(), shutdown.hard.clone());
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!(
                "shutting down: finishing work in progress, for at most {} s",
                patience.as_secs()
            );
            soft.cancel();
            tokio::select! {
                () = signals.next() => tracing::warn!("asked again to shut down: stopping at once"),
                () = tokio::time::sleep(patience) => tracing::warn!(
                    "the time for shutting down is over: stopping at once"
                ),
            }
            hard.cancel();
        });
        Ok(shutdown)
    }

    /// Waits until every task has ended, or the shutdown is forced.
    pub async fn finish(&self) {
        self.tasks.close();
        self.unless_hard(self.tasks.wait()).await;
    }

    /// Runs a future to its end, or returns `None` if the shutdown is forced before.
    pub async fn unless_hard<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.hard.run_until_cancelled(future).await
    }
}

/// The signals that ask a program to end.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "watching can fail elsewhere")]
    fn watch() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
