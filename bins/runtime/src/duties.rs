//! What goes on in the background: storing what was accepted, indexing it, rebuilding the index, and
//! auditing.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use chat_core::{
    Chain, PortError, PortErrorKind,
    ports::Consumer,
    service::{Indexer, Persister, Rebuilder, Reconciler, Services},
};
use futures_util::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    counts::{Auditing, Indexing, Storing},
    lifecycle::Shutdown,
    metrics, panics,
    running::Running,
    settings::Settings,
    status::StatusServer,
};

/// How long a round of storing waits for something to store, and so can delay a shutdown.
const WAIT: Duration = Duration::from_secs(1);

/// How long indexing rests where nothing has changed.
const INDEX_LOOK: Duration = Duration::from_millis(100);

/// How long it rests after a round, so that changes come in larger batches; with the round itself it
/// bounds how soon a message is found.
const INDEX_REST: Duration = Duration::from_millis(500);

/// How often to look for creations that were accepted and are in no queue.
const RESCUE_LOOK: Duration = Duration::from_secs(10);

/// How often to check whether the search index is to be rebuilt.
const REBUILD_LOOK: Duration = Duration::from_secs(1);

/// The pause after the first failure, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often a failure that goes on is logged again.
const LOGGED_FOR: Duration = Duration::from_mins(1);

/// The longest pause after failures to store: a single bad entry may be all that fails, and must not
/// hold up the others for longer.
const LONGEST_PAUSE_OF_STORING: Duration = Duration::from_secs(1);

/// Begins the duties of a process as tasks that end at its shutdown, and registers the metrics of these
/// alone, so that work which other processes do is not reported as 0 here.
pub struct Duties<'a> {
    services: &'a Services,
    /// Tells this process from others that do the same work; one that starts again under the same name
    /// gets back what it held.
    name: &'a str,
    shutdown: &'a Shutdown,
    registry: &'a mut Registry,
}

impl<'a> Duties<'a> {
    /// Prepares the duties of a process; `registry` gets what they count.
    #[must_use]
    pub fn new(running: &'a Running, registry: &'a mut Registry) -> Self {
        Self {
            services: &running.wiring.services,
            name: &running.name,
            shutdown: &running.shutdown,
            registry,
        }
    }

    /// Begins to store what was accepted.
    pub fn persist(&mut self) {
        let consumer = Consumer(self.name.to_owned());
        let counts = Storing::register(self.registry);
        let persister = self.services.persister.clone();
        self.begin(|end| persist(persister, consumer, counts, end));
    }

    /// Begins to carry changes into the search index, and to rebuild that where it is asked for.
    pub fn index(&mut self) {
        let (indexer, holder) = (self.services.indexer.clone(), self.name.to_owned());
        let counts = Indexing::register(self.registry);
        self.begin(|end| index(indexer, holder, counts, end));
        let (rebuilder, holder) = (self.services.rebuilder.clone(), self.name.to_owned());
        self.begin(|end| rebuild(rebuilder, holder, end));
    }

    /// Begins to audit every `interval`; where the queue is apart from the counter, creations that it may
    /// never have received are looked for more often.
    pub fn audit(&mut self, interval: Duration) {
        let (reconciler, holder) = (self.services.reconciler.clone(), self.name.to_owned());
        let counts = Auditing::register(self.registry);
        if reconciler.may_have_strays() {
            let (reconciler, counts) = (reconciler.clone(), counts.clone());
            self.begin(|end| rescue(reconciler, counts, end));
        }
        self.begin(|end| audit(reconciler, holder, interval, counts, end));
    }

    fn begin<T: Future<Output = ()> + Send + 'static>(
        &self,
        duty: impl FnOnce(CancellationToken) -> T,
    ) {
        let duty = duty(self.shutdown.soft.clone());
        self.shutdown.tasks.spawn(duty);
    }
}

/// Opens the adapters, begins duties, and goes on with them until the program is asked to end.
///
/// # Errors
///
/// Fails when the adapters cannot be opened, or the address of the metrics cannot be listened on.
pub async fn go_on(
    settings: &Settings,
    kind: &str,
    begin: impl FnOnce(&mut Duties<'_>),
) -> Result<()> {
    let Some(running) = Running::open(kind, settings).await? else {
        return Ok(());
    };
    let status = match settings.metrics_listen {
        Some(address) => Some(StatusServer::bind(address).await?),
        None => None,
    };
    let mut registry = metrics::registry();
    begin(&mut Duties::new(&running, &mut registry));
    tracing::info!(name = running.name, "background work has started");
    match status {
        Some(status) => status.serve(registry, &running).await,
        None => running.shutdown.soft.cancelled().await,
    }
    running.close().await;
    Ok(())
}

/// Stores what was accepted until `end`; a round that has begun is finished.
async fn persist(
    persister: Arc<Persister>,
    consumer: Consumer,
    counts: Storing,
    end: CancellationToken,
) {
    let mut failures = Failures::of("storing accepted creations");
    failures.longest = LONGEST_PAUSE_OF_STORING;
    while !end.is_cancelled() {
        let round = sound(persister.run_once(&consumer, WAIT)).await;
        if let Ok(round) = &round {
            counts.round(round);
        }
        let pause = match round {
            // What could not be settled is redelivered at once, until some create has the counter admitted.
            Ok(stored) if stored.is_behind => failures.over().max(WAIT),
            Ok(_) => failures.over(),
            Err(error) => failures.another(&error),
        };
        rest(pause, &end).await;
    }
    if let Err(error) = persister.leave(&consumer).await {
        tracing::warn!(
            error = %Chain(&error),
            "the queue entries that this process held could not be released; they are redelivered \
             later"
        );
    }
}

/// Audits at once and then every `interval`, until `end`, which may cut a round short.
async fn audit(
    reconciler: Arc<Reconciler>,
    holder: String,
    interval: Duration,
    counts: Auditing,
    end: CancellationToken,
) {
    let mut failures = Failures::of("the audit");
    while let Some(outcome) = end
        .run_until_cancelled(sound(reconciler.run_once(&holder)))
        .await
    {
        let pause = match outcome {
            Ok(round) => {
                counts.round(&round);
                failures.over().max(interval)
            }
            Err(error) => failures.another(&error),
        };
        rest(pause, &end).await;
    }
}

/// Stores what was accepted and is in no queue until `end`, which may cut a round short.
async fn rescue(reconciler: Arc<Reconciler>, counts: Auditing, end: CancellationToken) {
    let mut failures = Failures::of("storing creations that are in no queue");
    while let Some(outcome) = end
        .run_until_cancelled(sound(reconciler.rescue_once()))
        .await
    {
        let pause = match outcome {
            Ok(round) => {
                counts.round(&round);
                failures.over().max(RESCUE_LOOK)
            }
            Err(error) => failures.another(&error),
        };
        rest(pause, &end).await;
    }
}

/// Carries changes into the search index until `end`; a round that has begun is finished.
async fn index(indexer: Arc<Indexer>, holder: String, counts: Indexing, end: CancellationToken) {
    let mut failures = Failures::of("updating the search index");
    while !end.is_cancelled() {
        let pause = match sound(indexer.run_once(&holder)).await {
            Ok(round) => {
                counts.round(&round);
                let rest = match round.rows {
                    0 => INDEX_LOOK,
                    Indexer::ROWS.. => Duration::ZERO,
                    _ => INDEX_REST,
                };
                failures.over().max(rest)
            }
            Err(error) => failures.another(&error),
        };
        rest(pause, &end).await;
    }
}

/// Rebuilds the search index where that is due, until `end`, which may cut a rebuild short.
async fn rebuild(rebuilder: Arc<Rebuilder>, holder: String, end: CancellationToken) {
    let mut failures = Failures::of("rebuilding the search index");
    while let Some(outcome) = end
        .run_until_cancelled(sound(rebuilder.run_once(&holder)))
        .await
    {
        let pause = match outcome {
            Ok(_) => failures.over().max(REBUILD_LOOK),
            Err(error) => failures.another(&error),
        };
        rest(pause, &end).await;
    }
    if let Err(error) = rebuilder.leave(&holder).await {
        tracing::warn!(
            error = %Chain(&error),
            "an unfinished rebuild of the search index could not be released; it starts anew once \
             its lease ends"
        );
    }
}

fn rest(pause: Duration, end: &CancellationToken) -> impl Future<Output = Option<()>> {
    let pausing = async move {
        if !pause.is_zero() {
            sleep(pause).await;
        }
    };
    end.run_until_cancelled(pausing)
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Failed(#[from] PortError),
    #[error("it ended in a panic: {0}")]
    Panicked(String),
}

impl Trouble {
    /// The kind of the failure; `None` for a panic.
    fn kind(&self) -> Option<PortErrorKind> {
        match self {
            Self::Failed(error) => Some(error.kind),
            Self::Panicked(_) => None,
        }
    }
}

/// Runs a round, and turns a panic into a failure like any other, so that the duty goes on.
async fn sound<T>(round: impl Future<Output = Result<T, PortError>>) -> Result<T, Trouble> {
    match AssertUnwindSafe(round).catch_unwind().await {
        Ok(outcome) => Ok(outcome?),
        Err(panic) => Err(Trouble::Panicked(panics::text(&*panic).to_owned())),
    }
}

/// A run of consecutive failures, with exponential backoff.
///
/// It logs the first one, each that is of another kind than the one logged last, and one a minute.
struct Failures {
    what: &'static str,
    count: u32,
    longest: Duration,
    logged: Option<(Option<PortErrorKind>, Instant)>,
}

impl Failures {
    fn of(what: &'static str) -> Self {
        Self {
            what,
            count: 0,
            longest: LONGEST_PAUSE,
            logged: None,
        }
    }

    /// Notes a success, after which there is no pause.
    fn over(&mut self) -> Duration {
        if self.count > 0 {
            tracing::info!(failures = self.count, "{} works again", self.what);
            self.count = 0;
            self.logged = None;
        }
        Duration::ZERO
    }

    /// Notes a failure and answers the pause after it.
    fn another(&mut self, trouble: &Trouble) -> Duration {
        let kind = trouble.kind();
        let is_known = |(logged, at): (Option<PortErrorKind>, Instant)| {
            logged == kind && at.elapsed() < LOGGED_FOR
        };
        if !self.logged.is_some_and(is_known) {
            self.logged = Some((kind, Instant::now()));
            let (what, failures, error) = (self.what, self.count + 1, Chain(trouble));
            if kind.is_some_and(PortErrorKind::is_retryable) {
                tracing::warn!(failures, %error, "{what} failed and is retried");
            } else {
                tracing::error!(failures, %error, "{what} failed and is retried");
            }
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.count));
        self.count = self.count.saturating_add(1);
        pause.min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_end_with_the_failures() {
        let mut failures = Failures::of("a test");
        let trouble = Trouble::from(PortError::new(PortErrorKind::Timeout, "a test", "end"));
        let pauses: Vec<Duration> = (0..40).map(|_| failures.another(&trouble)).collect();
        assert_eq!(pauses[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(pauses[39], LONGEST_PAUSE);
        assert_eq!(failures.over(), Duration::ZERO);
        assert_eq!(failures.another(&trouble), FIRST_PAUSE);
    }

    #[test]
    fn another_kind_of_failure_is_logged_as_well() {
        let mut failures = Failures::of("a test");
        let kinds = [
            PortErrorKind::Timeout,
            PortErrorKind::Timeout,
            PortErrorKind::Misconfigured,
        ];
        let logged = kinds.map(|kind| {
            let before = failures.logged;
            failures.another(&PortError::new(kind, "a test", "end").into());
            failures.logged != before
        });
        assert_eq!(logged, [true, false, true]);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let round = async { if true { panic!("a defect") } else { Ok(()) } };
        let trouble = sound(round).await.unwrap_err();
        assert_eq!(trouble.to_string(), "it ended in a panic: a defect");
    }
}
