//! Rebuilding: a new generation of the search index, filled while the old one serves.

use std::{sync::Arc, time::Duration};

use super::{Indexer, indexer::serving};
use crate::{
    Chain, PortError,
    model::{Generation, Job, JobName, JobProgress, JobState, MessageKey},
    ports::{Claim, Clock, Indexable, JobClaim, Ports, Repository, SearchIndex},
};

/// How long the job is left to a holder that does not report: longer than counting all messages may take, or
/// a step on slow servers.
const LEASE: Duration = Duration::from_mins(3);

/// For how long a rebuild retries a failing backend, rather than fail and begin again.
const PATIENCE: Duration = Duration::from_mins(5);

/// The pause before each retry.
const PAUSE: Duration = Duration::from_secs(1);

/// How many messages are read at once.
const READ: usize = 500;

/// How many messages are read before the live ones are applied, unless their bodies reach [`STEP_BYTES`] first.
const STEP: usize = 5_000;

/// How many bytes of bodies are applied at once, give or take one read: 4 MiB.
const STEP_BYTES: usize = 4 << 20;

/// Rebuilds the search index from the repository; one process of many does it at a time.
///
/// A rebuild is requested by starting its job without a lease; whoever finds the job running and its
/// lease over does it, also after a holder died.
/// It is requested automatically if no generation serves, or the one that should is lost.
pub struct Rebuilder {
    repository: Arc<dyn Repository>,
    index: Arc<dyn SearchIndex>,
    clock: Arc<dyn Clock>,
    indexer: Arc<Indexer>,
}

/// How one step of filling a generation ended.
enum Step {
    /// There may be more.
    Applied,
    /// There was nothing more.
    End,
    /// Somebody else does the rebuild.
    TakenOver,
}

impl Rebuilder {
    pub(super) fn new(ports: &Ports, indexer: &Arc<Indexer>) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            index: Arc::clone(&ports.search),
            clock: Arc::clone(&ports.clock),
            indexer: Arc::clone(indexer),
        }
    }

    /// Requests a rebuild, unless one is requested or running, and tells how far it is.
    ///
    /// # Errors
    ///
    /// Fails when the repository or the search index does, and then requests nothing.
    pub async fn request(&self) -> Result<JobProgress, PortError> {
        if let Some(progress) = self.progress().await?
            && progress.state == JobState::Running
        {
            return Ok(progress);
        }
        self.expect_index().await?;
        // The lease ends at once, so that any process can take the job.
        let claim = self.claim("nobody", Duration::ZERO);
        match self
            .repository
            .claim_job(JobName::RebuildSearch, &claim)
            .await?
        {
            JobClaim::Held(job) => Ok(job.progress),
            JobClaim::Claimed(_) => Ok(JobProgress::begun(claim.now)),
        }
    }

    /// Tells how far the last rebuild is, or got; `None` before the first.
    ///
    /// # Errors
    ///
    /// Fails when the repository does.
    pub async fn progress(&self) -> Result<Option<JobProgress>, PortError> {
        let job = self.repository.job(JobName::RebuildSearch).await?;
        Ok(job.map(|job| job.progress))
    }

    /// Does a rebuild where one is due, and says whether it did.
    ///
    /// # Errors
    ///
    /// Fails when a backend does; the job tells so, and the rebuild is not retried automatically unless
    /// search has no index.
    pub async fn run_once(&self, holder: &str) -> Result<bool, PortError> {
        self.request_where_lost().await?;
        let job = self.repository.job(JobName::RebuildSearch).await?;
        let Some(job) = job.filter(|job| self.is_due(job)) else {
            return Ok(false);
        };
        let claim = self.claim(holder, LEASE);
        if let JobClaim::Held(_) = self
            .repository
            .claim_job(JobName::RebuildSearch, &claim)
            .await?
        {
            return Ok(false);
        }
        let mut progress = JobProgress {
            started_at: job.progress.started_at,
            ..JobProgress::begun(claim.now)
        };
        let outcome = self.rebuild(holder, &mut progress).await;
        progress.finished_at = Some(self.clock.now());
        match &outcome {
            Ok(true) => progress.state = JobState::Done,
            // Somebody else took over, and reports on the job.
            Ok(false) => return Ok(false),
            Err(error) => {
                progress.state = JobState::Failed;
                // Its causes are for the log, which the caller writes.
                progress.detail = Some(error.to_string());
            }
        }
        let reported = self.report(holder, Duration::ZERO, &progress).await;
        outcome.and_then(|done| reported.map(|_| done))
    }

    /// Leaves an unfinished rebuild to whoever looks next, at the end of a process.
    ///
    /// # Errors
    ///
    /// Fails when the repository does; others then take over in time.
    pub async fn leave(&self, holder: &str) -> Result<(), PortError> {
        let job = self.repository.job(JobName::RebuildSearch).await?;
        let Some(job) = job.filter(|job| job.progress.state == JobState::Running) else {
            return Ok(());
        };
        // This changes nothing if somebody else holds it.
        let left = self.report(holder, Duration::ZERO, &job.progress).await;
        left.map(drop)
    }

    /// Makes sure that there is something to build in.
    ///
    /// It does not call [`SearchIndex::check`]: that fails where an index is lost, which a rebuild repairs.
    async fn expect_index(&self) -> Result<(), PortError> {
        self.index.generations().await.map(drop)
    }

    /// Requests a rebuild if search has no index to read.
    async fn request_where_lost(&self) -> Result<(), PortError> {
        let generations = self.repository.generations().await?;
        let Some(serving) = serving(&generations) else {
            return self.request().await.map(drop);
        };
        let is_there = self.index.generations().await?.contains(&serving.number);
        // A rebuild switches generations under a lease; while one may do so, it is too early to judge.
        let job = self.repository.job(JobName::RebuildSearch).await?;
        if job.is_some_and(|job| job.lease_until > self.clock.now())
            || self.repository.generations().await? != generations
        {
            return Ok(());
        }
        if is_there {
            // A rebuild may have crashed after it switched the index and before it switched the repository.
            return self.index.serve_generation(serving).await;
        }
        tracing::error!(
            generation = serving.number,
            "the search index is lost; a rebuild is requested"
        );
        self.repository.remove_generation(serving.number).await?;
        self.request().await.map(drop)
    }

    fn is_due(&self, job: &Job) -> bool {
        job.progress.state == JobState::Running && job.lease_until <= self.clock.now()
    }

    /// Fills a new generation and lets it serve; `false` if somebody else took the job over.
    async fn rebuild(&self, holder: &str, progress: &mut JobProgress) -> Result<bool, PortError> {
        self.expect_index().await?;
        // Remove what an earlier attempt left half-filled.
        let generations = self.repository.generations().await?;
        let kept = serving(&generations);
        for left in generations.iter().filter(|left| Some(*left) != kept) {
            self.remove(left).await?;
        }
        let new = self.repository.add_generation().await?;
        match self.fill_and_serve(&new, holder, progress).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                // If this fails, too, the next attempt removes it.
                if let Err(error) = self.remove(&new).await {
                    tracing::warn!(
                        error = %Chain(&error),
                        "a half-filled generation of the search index could not be removed; the \
                         next rebuild removes it"
                    );
                }
                return Err(error);
            }
        }
        if !self.repository.serve_generation(new.number).await? {
            // Somebody else took over, and has removed it.
            return Ok(false);
        }
        self.index.remove_others(&new).await?;
        tracing::info!(
            generation = new.number,
            messages = progress.done,
            "the search index was rebuilt"
        );
        Ok(true)
    }

    /// Fills a generation and lets searches read it, still under the lease; `false` if the lease is lost.
    async fn fill_and_serve(
        &self,
        new: &Generation,
        holder: &str,
        progress: &mut JobProgress,
    ) -> Result<bool, PortError> {
        let is_filled = self.fill(new, holder, progress).await?;
        if !is_filled || !self.report(holder, LEASE, progress).await? {
            return Ok(false);
        }
        self.index.serve_generation(new).await?;
        Ok(true)
    }

    async fn fill(
        &self,
        new: &Generation,
        holder: &str,
        progress: &mut JobProgress,
    ) -> Result<bool, PortError> {
        // An index of this number may be left from an earlier database; it must not get in the way.
        self.index.remove_generation(new).await?;
        self.index.create_generation(new).await?;
        // The total only shows the progress; if counting takes too long, it grows with what is done.
        progress.total = match self.repository.count_messages().await {
            Err(error) if error.is_retryable() => 0,
            counted => counted?,
        };
        let (mut after, mut waits_since) = (None, None);
        loop {
            match self.go_on(new, holder, &mut after, progress).await {
                Ok(Step::Applied) => waits_since = None,
                Ok(Step::End) => return Ok(true),
                Ok(Step::TakenOver) => return Ok(false),
                Err(error) => {
                    let now = self.clock.now();
                    let since = *waits_since.get_or_insert_with(|| {
                        tracing::warn!(
                            error = %Chain(&error),
                            done = progress.done,
                            "a step of the search index's rebuild failed; a temporary failure is \
                             retried for a few minutes"
                        );
                        now
                    });
                    if !error.is_retryable()
                        || now.since(since) >= PATIENCE
                        || self.is_lost(new).await
                    {
                        return Err(error);
                    }
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Says whether a generation is known to be gone, rather than out of reach.
    async fn is_lost(&self, generation: &Generation) -> bool {
        let listed = self.index.generations().await;
        listed.is_ok_and(|numbers| !numbers.contains(&generation.number))
    }

    /// Applies the next messages after `after`, and advances it.
    async fn go_on(
        &self,
        new: &Generation,
        holder: &str,
        after: &mut Option<MessageKey>,
        progress: &mut JobProgress,
    ) -> Result<Step, PortError> {
        if !self.report(holder, LEASE, progress).await? {
            return Ok(Step::TakenOver);
        }
        let (messages, last) = self.read(*after).await?;
        if last == *after {
            return Ok(Step::End);
        }
        let count = messages.len() as u64;
        self.indexer.fill(new, messages).await?;
        *after = last;
        progress.done += count;
        progress.total = progress.total.max(progress.done);
        Ok(Step::Applied)
    }

    /// Reads until there is enough to apply; answers the live messages, and the last key that was read.
    async fn read(
        &self,
        mut after: Option<MessageKey>,
    ) -> Result<(Vec<Indexable>, Option<MessageKey>), PortError> {
        let (mut step, mut read, mut bytes) = (Vec::new(), 0, 0);
        while read < STEP && bytes < STEP_BYTES {
            let some = self.repository.scan_messages(after, READ).await?;
            let Some(last) = some.last() else {
                break;
            };
            after = Some(last.key);
            read += some.len();
            for message in some {
                if let Some((current, _)) = &message.current {
                    bytes += current.body.as_str().len();
                    step.push(message);
                }
            }
        }
        Ok((step, after))
    }

    async fn remove(&self, generation: &Generation) -> Result<(), PortError> {
        self.repository.remove_generation(generation.number).await?;
        self.index.remove_generation(generation).await
    }

    async fn report(
        &self,
        holder: &str,
        lease: Duration,
        progress: &JobProgress,
    ) -> Result<bool, PortError> {
        let claim = self.claim(holder, lease);
        self.repository
            .report_job(JobName::RebuildSearch, &claim, progress)
            .await
    }

    fn claim(&self, holder: &str, lease: Duration) -> Claim {
        Claim::new(holder, self.clock.now(), lease)
    }
}
