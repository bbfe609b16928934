//! The create path: from a draft to a number that is kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    ServiceError,
    once::{UnderWay, Work, told_again},
    opening::Opener,
};
use crate::{
    Chain, PortError, PortErrorKind,
    model::{
        Content, Creation, Draft, Epoch, IdempotencyKey, Number, Sequence, Submission, Timestamp,
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

/// How often a create is submitted before it is given up: each try ends in a number, or removes what
/// was in its way, or loses a race to do so.
const TRIES: u32 = 12;

/// For how long a create is submitted again; each try has the timeouts of its backends besides.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first pause while another process is seeding the same sequence, doubled each time.
const OTHER_SEEDER: Duration = Duration::from_millis(5);

/// The longest such pause.
const LONGEST_OTHER: Duration = Duration::from_millis(160);

/// Numbers drafts, and restores what a counter has forgotten.
pub(crate) struct Numberer {
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    repository: Arc<dyn Repository>,
    clock: Arc<dyn Clock>,
    tokens: Arc<dyn Tokens>,
    pub(crate) opener: Opener,
    seeding: UnderWay<Sequence, Seeded>,
    /// Whether the last publish failed, so that an outage of the queue is warned of once.
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
            seeding: UnderWay::default(),
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
        let (mut tries, mut pause_for_other) = (0, OTHER_SEEDER);
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
                    let seeding = match unknown.lease {
                        Some(lease) => Some(self.seed(unknown, lease)),
                        None => self.seeding.join(&unknown.sequence),
                    };
                    let Some(seeding) = seeding else {
                        // Another process' lease runs out by itself, so waiting for it does not count as a try.
                        self.clock.sleep(pause_for_other).await;
                        pause_for_other = LONGEST_OTHER.min(pause_for_other * 2);
                        continue;
                    };
                    match seeding.await.map_err(|error| told_again(&error))? {
                        Seeded::Tried => {}
                        Seeded::Nowhere => return Err(ServiceError::NotFound),
                    }
                }
                Numbering::Closed(shard) => self.opener.open(shard).await?,
            }
            // The first tries remove obstacles; later ones lost a race, and give the winner time.
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
    /// A failure does not fail the create: the creation is pending, and the audit looks after what is
    /// not confirmed.
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
                "another creation may not have reached the queue"
            ),
            Err(error) => tracing::warn!(
                sequence = %creation.sequence(),
                number = creation.number.get(),
                error = %Chain(&error),
                "a creation may not have reached the queue; the audit will store it, and any that \
                 follow"
            ),
        }
    }

    /// Begins to seed a sequence, for all in this process who wait for it.
    fn seed(&self, unknown: UnknownSequence, lease: Lease) -> Work<Seeded> {
        let (counter, repository) = (Arc::clone(&self.counter), Arc::clone(&self.repository));
        self.seeding.begin(unknown.sequence, async move {
            seed(&*counter, &*repository, &unknown, lease).await
        })
    }
}

/// The outcome of seeding a sequence.
#[derive(Debug, Clone, Copy)]
enum Seeded {
    /// It is known, or somebody else was faster, or its epoch is over: submit again.
    Tried,
    /// It belongs to nothing that lives.
    Nowhere,
}

/// Seeds a sequence with what its pending creations and the repository prove.
///
/// Pending was read first, with the lease: what was settled since is in the repository by then.
async fn seed(
    counter: &dyn Counter,
    repository: &dyn Repository,
    unknown: &UnknownSequence,
    lease: Lease,
) -> Result<Seeded, PortError> {
    let UnknownSequence {
        sequence,
        shard,
        epoch,
        highest_pending,
        ..
    } = *unknown;
    let alive = pending_owner(counter, &sequence).await?;
    let basis = repository.basis(&sequence, shard, epoch, alive).await;
    match basis {
        Ok(Basis::Last(last)) => {
            let seed = Seed {
                sequence,
                shard,
                epoch,
                lease,
                last: last.max(highest_pending),
            };
            counter.seed(&seed).await?;
            return Ok(Seeded::Tried);
        }
        Ok(Basis::Deleted) => {
            counter.mark_deleted(&sequence).await?;
            return Ok(Seeded::Nowhere);
        }
        Ok(Basis::Absent | Basis::StaleEpoch) | Err(_) => {}
    }
    // This way others need not wait for the lease to end, and are told what is wrong.
    if let Err(error) = counter.release_lease(&sequence, lease).await {
        tracing::debug!(
            %sequence,
            error = %Chain(&error),
            "the lease for seeding a sequence could not be released; it expires by itself"
        );
    }
    match basis? {
        Basis::StaleEpoch => {
            counter.close(shard, epoch).await?;
            Ok(Seeded::Tried)
        }
        _ => Ok(Seeded::Nowhere),
    }
}

/// The epoch of the creation of the chat that a sequence belongs to, if that is still pending.
async fn pending_owner(
    counter: &dyn Counter,
    sequence: &Sequence,
) -> Result<Option<Epoch>, PortError> {
    let Sequence::Messages(chat) = sequence else {
        return Ok(None);
    };
    let chats = Sequence::Chats(chat.application);
    let creation = counter.pending(&chats, chat.chat.into()).await?;
    Ok(creation.map(|creation| creation.epoch))
}

/// Rebuilds the creation that the same request made before: the request has all that is shown of it but
/// number and time. Its uid and its epoch are not the stored one's.
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
