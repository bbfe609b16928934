//! Auditing: what a crash in the wrong moment leaves behind is found and put right.

mod rescue;

use std::{sync::Arc, time::Duration};

use rescue::Rescue;

use super::{Persister, Policy};
use crate::{
    Chain, PortError,
    model::{JobName, JobProgress, JobState, Sequence},
    ports::{Audit, Claim, Clock, Counter, JobClaim, Ports, Repository},
};

/// How long a job is left to a holder that does not report.
const LEASE: Duration = Duration::from_mins(1);

/// How many things one step of an audit looks at.
const STEP: usize = 1_000;

/// Audits and repairs; any number of processes may do so at once.
pub struct Reconciler {
    counter: Arc<dyn Counter>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    rescue: Rescue,
    retention: Duration,
}

/// What one round of auditing found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Creations that were pending for too long, and are stored now.
    pub rescued: u64,
    /// Whether more is pending than one round looks at; the next one goes on there.
    pub unfinished: bool,
    /// Applications and chats whose counts were compared.
    pub counts_checked: u64,
    /// Applications and chats whose counts were wrong, and are right now.
    pub counts_repaired: u64,
    /// Applications and chats that could not be compared or repaired, and were passed over: where there
    /// are any, the round failed in part.
    pub failed: u64,
    /// Rows and tombstones that were removed for good.
    pub purged: u64,
}

impl Reconciler {
    pub(super) fn new(ports: &Ports, policy: &Policy, persister: &Arc<Persister>) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            rescue: Rescue::new(ports, policy, persister),
            retention: policy.retention,
        }
    }

    /// Does every audit once, except those that another process is doing.
    ///
    /// # Errors
    ///
    /// Fails when a backend does, after every audit was tried; the next round begins again.
    pub async fn run_once(&self, holder: &str) -> Result<Reconciled, PortError> {
        let mut report = Reconciled::default();
        let outcomes = [
            self.rescue.run(&mut report).await,
            self.audit_counts(holder, &mut report).await,
            self.purge(holder, &mut report).await,
        ];
        if report.rescued + report.counts_repaired + report.purged > 0 {
            tracing::info!(
                rescued = report.rescued,
                counts_repaired = report.counts_repaired,
                purged = report.purged,
                "the audit stored pending creations, repaired counts or purged rows"
            );
        }
        if report.failed > 0 {
            tracing::error!(
                failed = report.failed,
                "the audit skipped counts that could not be compared or repaired; an earlier log \
                 line names each"
            );
        }
        // A failure of one audit does not stop the others; the caller is told of the first failure.
        let mut failures = outcomes.into_iter().filter_map(Result::err);
        let Some(first) = failures.next() else {
            return Ok(report);
        };
        for error in failures {
            tracing::warn!(error = %Chain(&error), "another part of the audit failed too");
        }
        Err(first)
    }

    /// Says whether accepted creations may be in no queue, since the queue is apart from the counter.
    ///
    /// Then somebody should [look after them](Self::rescue_once) every few seconds.
    #[must_use]
    pub fn may_have_strays(&self) -> bool {
        self.counter.leaves_publishing()
    }

    /// Stores what was accepted and is in no queue, and does no other audit.
    ///
    /// # Errors
    ///
    /// Fails when a backend does; the next round begins again.
    pub async fn rescue_once(&self) -> Result<Reconciled, PortError> {
        let mut report = Reconciled::default();
        self.rescue.run(&mut report).await?;
        if report.rescued > 0 {
            tracing::info!(
                rescued = report.rescued,
                "stored accepted creations that were in no queue"
            );
        }
        Ok(report)
    }

    async fn audit_counts(&self, holder: &str, report: &mut Reconciled) -> Result<(), PortError> {
        let Some(mut job) = Running::claim(self, JobName::AuditCounts, holder).await? else {
            return Ok(());
        };
        let mut after = None;
        loop {
            let audit = self.repository.audit_applications(after, STEP).await?;
            for id in &audit.repaired {
                tracing::warn!(
                    application.id = id.get(),
                    "the count of an application's chats was wrong and has been repaired"
                );
            }
            report.count(&audit);
            if !job.advance(audit.checked).await? {
                return Ok(());
            }
            after = audit.next;
            if after.is_none() {
                break;
            }
        }
        let mut after = None;
        loop {
            let audit = self.repository.audit_chats(after, STEP).await?;
            for key in &audit.repaired {
                tracing::warn!(
                    application.id = key.application.get(),
                    chat.number = key.chat.get(),
                    "the count of a chat's messages was wrong and has been repaired"
                );
            }
            report.count(&audit);
            if !job.advance(audit.checked).await? {
                return Ok(());
            }
            after = audit.next;
            if after.is_none() {
                break;
            }
        }
        if report.failed > 0 {
            job.progress.detail = Some(format!(
                "counts that could not be compared or repaired: {}",
                report.failed
            ));
        }
        job.finish().await
    }

    async fn purge(&self, holder: &str, report: &mut Reconciled) -> Result<(), PortError> {
        let Some(mut job) = Running::claim(self, JobName::Purge, holder).await? else {
            return Ok(());
        };
        loop {
            let purged = self.repository.purge_below_deleted(STEP).await?;
            report.purged += purged;
            if purged == 0 || !job.advance(purged).await? {
                break;
            }
        }
        let before = self.clock.now().minus(self.retention);
        let mut after = None;
        loop {
            let keys = self.repository.tombstones(before, after, STEP).await?;
            let Some(last) = keys.last() else {
                break;
            };
            after = Some(*last);
            let mut idle = Vec::new();
            for key in keys {
                let sequence = Sequence::Messages(key.chat_key());
                if self
                    .counter
                    .pending(&sequence, key.message.into())
                    .await?
                    .is_none()
                {
                    idle.push(key);
                }
            }
            let purged = self.repository.purge_tombstones(&idle).await?;
            report.purged += purged;
            if !job.advance(purged).await? {
                break;
            }
        }
        job.finish().await
    }
}

impl Reconciled {
    fn count<Key>(&mut self, audit: &Audit<Key>) {
        self.counts_checked += audit.checked;
        self.counts_repaired += audit.repaired.len() as u64;
        self.failed += audit.failed.len() as u64;
    }
}

/// A job that this process holds.
struct Running<'a> {
    reconciler: &'a Reconciler,
    name: JobName,
    holder: String,
    progress: JobProgress,
}

impl<'a> Running<'a> {
    /// Takes the job; `None` while another process holds it.
    async fn claim(
        reconciler: &'a Reconciler,
        name: JobName,
        holder: &str,
    ) -> Result<Option<Self>, PortError> {
        let claim = Claim::new(holder, reconciler.clock.now(), LEASE);
        match reconciler.repository.claim_job(name, &claim).await? {
            JobClaim::Held(_) => Ok(None),
            JobClaim::Claimed(_) => Ok(Some(Self {
                reconciler,
                name,
                holder: holder.to_owned(),
                progress: JobProgress::begun(claim.now),
            })),
        }
    }

    /// Notes progress; `false` if the job was taken over meanwhile.
    async fn advance(&mut self, done: u64) -> Result<bool, PortError> {
        self.progress.done += done;
        self.report(LEASE).await
    }

    async fn finish(mut self) -> Result<(), PortError> {
        self.progress.state = JobState::Done;
        self.progress.finished_at = Some(self.reconciler.clock.now());
        self.report(Duration::ZERO).await?;
        Ok(())
    }

    async fn report(&self, lease: Duration) -> Result<bool, PortError> {
        let claim = Claim::new(&*self.holder, self.reconciler.clock.now(), lease);
        self.reconciler
            .repository
            .report_job(self.name, &claim, &self.progress)
            .await
    }
}
