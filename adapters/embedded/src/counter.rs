//! Numbering: the parent's row holds the last number, and a creation is stored along with it.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    model::{
        Admission, Creation, DeadLetterId, Epoch, Number, NumberRange, Sequence, Shard, Sighting,
        Submission, Timestamp, Uid,
    },
    ports::{
        Counter, Lease, Numbering, Pending, PendingPage, PendingPlace, Seed, Seeding, Settlement,
    },
};

use crate::database::Database;

/// Numbers creations and stores them in the same transaction.
///
/// So nothing is ever pending, nothing is ever unknown, and there is nothing to seed, to admit or to
/// settle: the methods that speak of it have nothing to do.
pub struct EmbeddedCounter {
    database: Arc<Database>,
}

impl EmbeddedCounter {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        Self {
            database: Arc::clone(database),
        }
    }
}

#[async_trait]
impl Counter for EmbeddedCounter {
    async fn create(&self, submission: &Submission) -> Result<Numbering, PortError> {
        self.database.writer.create(submission.clone()).await
    }

    async fn confirm(
        &self,
        _sequence: &Sequence,
        _number: Number,
        _uid: Uid,
    ) -> Result<(), PortError> {
        Ok(())
    }

    async fn seed(&self, _seed: &Seed) -> Result<Seeding, PortError> {
        Ok(Seeding::Refused)
    }

    async fn release_lease(&self, _sequence: &Sequence, _lease: Lease) -> Result<(), PortError> {
        Ok(())
    }

    async fn sight(&self, _shard: Shard) -> Result<Sighting, PortError> {
        let reason = "the embedded counter has no server, and is always open";
        Err(PortError::new(
            PortErrorKind::Misconfigured,
            "counter",
            "observe the server",
        )
        .caused_by(reason))
    }

    async fn open(&self, _admission: &Admission) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn close(&self, _shard: Shard, _epoch: Epoch) -> Result<(), PortError> {
        Ok(())
    }

    async fn mark_deleted(&self, _sequence: &Sequence) -> Result<(), PortError> {
        // The row that numbers holds the deletion already.
        Ok(())
    }

    async fn pending(
        &self,
        _sequence: &Sequence,
        _number: Number,
    ) -> Result<Option<Creation>, PortError> {
        Ok(None)
    }

    async fn pending_page(
        &self,
        _sequence: &Sequence,
        _range: &NumberRange,
        _limit: usize,
    ) -> Result<PendingPage, PortError> {
        // A row is visible together with all lower ones, so no number has to be waited for.
        Ok(PendingPage {
            issued: Some(Number::MAX),
            highest_pending: 0,
            creations: Vec::new(),
        })
    }

    async fn settle(
        &self,
        _settlements: &[Settlement],
        _epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, PortError> {
        Ok(Vec::new())
    }

    async fn point_to_letter(
        &self,
        _sequence: &Sequence,
        _number: Number,
        _uid: Uid,
        _letter: Option<DeadLetterId>,
    ) -> Result<(), PortError> {
        Ok(())
    }

    async fn pending_since(
        &self,
        _before: Timestamp,
        _after: Option<PendingPlace>,
        _limit: usize,
    ) -> Result<Vec<Pending>, PortError> {
        Ok(Vec::new())
    }

    fn settle_acknowledges(&self) -> bool {
        false
    }

    fn leaves_publishing(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await
    }
}
