//! The create path: from a draft to a number that is kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{ServiceError, opening::Opener};
use crate::{
    Chain, PortError, PortErrorKind,
    model::{
        Content, Creation, Draft, Epoch, IdempotencyKey, Number, NumberRange, Sequence, Submission,
        Timestamp,
    },
    ports::{
        Basis, Clock, Counter, Lease, Numbering, Placement, Ports, Queue, Repository, Seed, Tokens,
        UnknownSequence,
    },
};

/// What was created, or had been created by the same request before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created<T> {
    /// The thing as it was created.
    pub item: T,
    /// Whether an earlier request with the same key created it.
    pub replayed: bool,
}

impl<T> Created<T> {
    /// Turns what was created into something else.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Created<U> {
        Created {
            item: change(self.item),
            replayed: self.replayed,
        }
    }
}

/// How often a create is submitted before it is given up: each try ends in a number, or has mended
/// what was in its way, or lost a race for mending it.
const TRIES: u32 = 12;

/// For how long a create is submitted again; each try has the deadlines of its backends besides.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to leave another caller that is seeding the same sequence.
const OTHER_SEEDER: Duration = Duration::from_millis(5);

/// Numbers drafts, and mends what a counter has forgotten.
pub(crate) struct Numberer {
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    tokens: Arc<dyn Tokens>,
    pub(crate) opener: Opener,
    /// Whether the last publish failed, so that a queue that is away is told once.
    fails_to_publish: AtomicBool,
}

impl Numberer {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self {
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
            repository: Arc::clone(&ports.repository),
            clock: Arc::clone(&ports.clock),
            tokens: Arc::clone(&ports.tokens),
            opener: Opener::new(ports),
            fails_to_publish: AtomicBool::new(false),
        }
    }

    /// Gives `content` a number; once this answers, the creation is kept.
    pub(crate) async fn create(
        &self,
        content: Content,
        key: Option<IdempotencyKey>,
    ) -> Result<Created<Creation>, ServiceError> {
        let draft = Draft {
            uid: self.tokens.uid(),
            created_at: self.clock.now(),
            content,
        };
        let give_up = draft.created_at.plus(PATIENCE);
        let submission = Submission { draft, key };
        let mut tries = 0;
        while tries < TRIES && self.clock.now() <= give_up {
            match self.counter.create(&submission).await? {
                Numbering::Accepted {
                    number,
                    epoch,
                    placement,
                } => {
                    let item = Creation {
                        number,
                        epoch,
                        draft: submission.draft,
                    };
                    if placement == Placement::Remembered {
                        self.publish(&item).await;
                    }
                    return Ok(Created {
                        item,
                        replayed: false,
                    });
                }
                Numbering::Replayed { number, created_at } => {
                    return Ok(replayed(submission.draft, number, created_at));
                }
                Numbering::KeyReused => return Err(ServiceError::KeyReused),
                Numbering::Gone => return Err(ServiceError::NotFound),
                Numbering::Overloaded { by, retry_after } => {
                    return Err(ServiceError::Overloaded { by, retry_after });
                }
                Numbering::Unknown(unknown) => {
                    let Some(lease) = unknown.lease else {
                        // Another caller's lease ends in time, so waiting for it is no try.
                        self.clock.sleep(OTHER_SEEDER).await;
                        continue;
                    };
                    self.seed(&unknown, lease).await?;
                }
                Numbering::Closed(shard) => self.opener.open(shard).await?,
            }
            // The first tries mend; later ones lost a race, and give the winner time.
            if tries >= 3 {
                let pause = Duration::from_millis(5 << tries.min(6));
                self.clock.sleep(pause).await;
            }
            tries += 1;
        }
        Err(PortError::new(PortErrorKind::Contention, "counter", "number a creation").into())
    }

    /// Puts an accepted creation into the queue.
    ///
    /// A failure is no failure of the create: the creation is pending, and the audit looks after what
    /// is not confirmed.
    async fn publish(&self, creation: &Creation) {
        let published = match self.queue.publish(creation, false).await {
            Ok(()) => {
                self.counter
                    .confirm(&creation.sequence(), creation.number, creation.draft.uid)
                    .await
            }
            Err(error) => Err(error),
        };
        let failed_before = self
            .fails_to_publish
            .swap(published.is_err(), Ordering::Relaxed);
        match published {
            Ok(()) if failed_before => tracing::info!("creations reach the queue again"),
            Ok(()) => {}
            Err(error) if failed_before => tracing::debug!(
                sequence = %creation.sequence(),
                number = creation.number.get(),
                error = %Chain(&error),
                "another creation is not known to be in the queue"
            ),
            Err(error) => tracing::warn!(
                sequence = %creation.sequence(),
                number = creation.number.get(),
                error = %Chain(&error),
                "a creation is not known to be in the queue; the audit will look after it, and after \
                 those that follow"
            ),
        }
    }

    /// Makes a sequence known, with all that pending creations and the repository prove.
    ///
    /// Pending is read first: what leaves it in between is in the repository by then.
    async fn seed(&self, unknown: &UnknownSequence, lease: Lease) -> Result<(), ServiceError> {
        let UnknownSequence {
            sequence,
            shard,
            epoch,
            ..
        } = *unknown;
        let nothing = NumberRange::all().up_to(0);
        let page = self.counter.pending_page(&sequence, &nothing, 1).await?;
        let alive = self.pending_owner(&sequence).await?;
        let basis = self.repository.basis(&sequence, shard, epoch, alive).await;
        match basis {
            Ok(Basis::Last(last)) => {
                let seed = Seed {
                    sequence,
                    shard,
                    epoch,
                    lease,
                    last: last.max(page.highest_pending),
                };
                self.counter.seed(&seed).await?;
                return Ok(());
            }
            Ok(Basis::Deleted) => {
                self.counter.mark_deleted(&sequence).await?;
                return Err(ServiceError::NotFound);
            }
            Ok(Basis::Absent | Basis::StaleEpoch) | Err(_) => {}
        }
        // Others need not wait for the lease to end, and are told what is wrong.
        if let Err(error) = self.counter.release_lease(&sequence, lease).await {
            tracing::debug!(%sequence, error = %Chain(&error), "a lease has to run out by itself");
        }
        match basis? {
            Basis::StaleEpoch => Ok(self.counter.close(shard, epoch).await?),
            _ => Err(ServiceError::NotFound),
        }
    }

    /// The epoch of the pending creation of the chat that a sequence belongs to, if it is pending.
    async fn pending_owner(&self, sequence: &Sequence) -> Result<Option<Epoch>, PortError> {
        let Sequence::Messages(chat) = sequence else {
            return Ok(None);
        };
        let chats = Sequence::Chats(chat.application);
        let creation = self.counter.pending(&chats, chat.chat.into()).await?;
        Ok(creation.map(|creation| creation.epoch))
    }
}

/// The creation that the same request made before: the request tells all that is shown of it but number
/// and time. Its uid and its epoch are not the stored one's.
fn replayed(draft: Draft, number: Number, created_at: Timestamp) -> Created<Creation> {
    let draft = Draft {
        created_at,
        ..draft
    };
    Created {
        item: Creation {
            number,
            epoch: Epoch::NONE,
            draft,
        },
        replayed: true,
    }
}
