//! Audits: what they look at, how far one goes, and what they put right.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "weakened/shim.rs"]
mod shim;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    memory::{ManualClock, Memory},
    model::{
        ApplicationId, ApplicationName, ApplicationToken, ChatKey, ChatNumber, Content, Creation,
        Draft, Epoch, JobName, JobState, MessageBody, Number, Sender, Sequence, Timestamp, Uid,
    },
    ports::{Audit, Backlog, Consumer, Counter, Pending, PendingPlace, Ports, Queue, Repository},
    service::{Policy, Reconciled, Services},
};
use shim::{CounterShim, QueueShim, RepositoryShim, Weak};

const HOLDER: &str = "test";

/// Longer than a creation may be pending before the audit looks after it.
const LONG: Duration = Duration::from_mins(10);

/// A system with a chat.
struct Stage {
    memory: Memory,
    services: Services,
    token: ApplicationToken,
    chat: ChatNumber,
}

impl Stage {
    async fn over(memory: Memory, ports: Ports) -> Self {
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("audited").unwrap();
        let token = services.applications.create(name).await.unwrap().token;
        let chat = services.chats.create(&token, None, None).await.unwrap();
        Self {
            memory,
            services,
            token,
            chat: chat.item.key.chat,
        }
    }

    async fn send(&self, count: usize) {
        for _ in 0..count {
            let body = MessageBody::parse("hello").unwrap();
            let messages = &self.services.messages;
            let sent = messages.create(&self.token, self.chat, None, body, None);
            sent.await.unwrap();
        }
    }

    /// Takes everything out of the queue, and leaves it pending.
    async fn lose_the_queue(&self) {
        let thief = Consumer("a thief".to_owned());
        let taken = self.memory.queue.receive(&thief, 10_000, Duration::ZERO);
        let receipts: Vec<_> = taken
            .await
            .unwrap()
            .into_iter()
            .map(|it| it.receipt)
            .collect();
        self.memory.queue.acknowledge(&receipts).await.unwrap();
    }

    async fn audit(&self) -> Reconciled {
        self.services.reconciler.run_once(HOLDER).await.unwrap()
    }
}

/// Counts the pending creations that an audit is handed.
struct Watched {
    inner: Arc<dyn Counter>,
    handed_out: Arc<AtomicUsize>,
}

#[async_trait]
impl CounterShim for Watched {
    fn inner(&self) -> &dyn Counter {
        &*self.inner
    }

    async fn pending_since(
        &self,
        before: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, PortError> {
        let pending = self.inner.pending_since(before, after, limit).await?;
        self.handed_out.fetch_add(pending.len(), Ordering::Relaxed);
        Ok(pending)
    }
}

fn watched(ports: Ports) -> (Ports, Arc<AtomicUsize>) {
    let handed_out = Arc::new(AtomicUsize::new(0));
    let counter = Arc::new(Weak(Watched {
        inner: Arc::clone(&ports.counter),
        handed_out: Arc::clone(&handed_out),
    }));
    (Ports { counter, ..ports }, handed_out)
}

/// A backlog that waits for a slow database is in the queue, and rescuing it makes nothing faster.
#[tokio::test]
async fn a_backlog_that_the_queue_holds_is_not_read() {
    let memory = Memory::new();
    let (ports, handed_out) = watched(memory.ports());
    let stage = Stage::over(memory, ports).await;
    stage.send(100).await;
    stage.memory.clock.advance(LONG);
    for _ in 0..3 {
        assert_eq!(stage.audit().await.rescued, 0);
    }
    assert_eq!(handed_out.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_the_queue_lost_is_stored() {
    for memory in [Memory::new(), Memory::apart()] {
        let ports = memory.ports();
        let stage = Stage::over(memory, ports).await;
        stage.send(5).await;
        stage.lose_the_queue().await;
        stage.memory.clock.advance(Duration::from_secs(1));
        // What came later is in the queue, and stays there.
        stage.send(5).await;
        stage.memory.clock.advance(LONG);
        assert_eq!(stage.audit().await.rescued, 1 + 5);
        assert_eq!(stage.memory.queue.len(), 5);
        assert_eq!(
            stage
                .memory
                .repository
                .all_messages(None, 99)
                .await
                .unwrap()
                .len(),
            5
        );
        assert_eq!(stage.audit().await.rescued, 0);
    }
}

/// A counter that cannot be told what the queue has received.
struct Unconfirmed(Arc<dyn Counter>);

#[async_trait]
impl CounterShim for Unconfirmed {
    fn inner(&self) -> &dyn Counter {
        &*self.0
    }

    async fn confirm(&self, _: &Sequence, _: Number, _: Uid) -> Result<(), PortError> {
        let kind = PortErrorKind::Unavailable;
        Err(PortError::new(kind, "test", "confirm a creation"))
    }
}

#[tokio::test]
async fn what_a_queue_apart_may_never_have_had_is_stored_within_seconds() {
    let memory = Memory::apart();
    let ports = memory.ports();
    let counter = Arc::new(Weak(Unconfirmed(ports.counter)));
    let stage = Stage::over(memory, Ports { counter, ..ports }).await;
    stage.send(5).await;
    stage.lose_the_queue().await;
    let reconciler = &stage.services.reconciler;
    assert!(reconciler.may_have_strays());
    for (seconds, rescued) in [(9, 0), (2, 1 + 5), (2, 0)] {
        stage.memory.clock.advance(Duration::from_secs(seconds));
        assert_eq!(reconciler.rescue_once().await.unwrap().rescued, rescued);
    }
}

/// A queue whose server is away: nothing reaches it, and it tells nothing.
struct Away(Arc<dyn Queue>);

impl Away {
    fn fail(operation: &'static str) -> PortError {
        PortError::new(PortErrorKind::Unavailable, "test", operation)
    }
}

#[async_trait]
impl QueueShim for Away {
    fn inner(&self) -> &dyn Queue {
        &*self.0
    }

    async fn publish(&self, _: &Creation, _: bool) -> Result<(), PortError> {
        Err(Self::fail("publish a creation"))
    }

    async fn backlog(&self) -> Result<Backlog, PortError> {
        Err(Self::fail("measure the backlog"))
    }
}

#[tokio::test]
async fn what_never_reached_a_queue_that_is_still_away_is_stored_within_seconds() {
    let memory = Memory::apart();
    let ports = memory.ports();
    let queue = Arc::new(Weak(Away(ports.queue)));
    let stage = Stage::over(memory, Ports { queue, ..ports }).await;
    stage.send(5).await;
    let reconciler = &stage.services.reconciler;
    for (seconds, rescued) in [(9, 0), (2, 1 + 5), (2, 0)] {
        stage.memory.clock.advance(Duration::from_secs(seconds));
        assert_eq!(reconciler.rescue_once().await.unwrap().rescued, rescued);
    }
}

#[tokio::test]
async fn what_the_queue_has_confirmed_is_left_to_it_for_longer() {
    let memory = Memory::apart();
    let ports = memory.ports();
    let stage = Stage::over(memory, ports).await;
    stage.send(5).await;
    stage.lose_the_queue().await;
    let reconciler = &stage.services.reconciler;
    for (seconds, rescued) in [(55, 0), (10, 1 + 5)] {
        stage.memory.clock.advance(Duration::from_secs(seconds));
        assert_eq!(reconciler.rescue_once().await.unwrap().rescued, rescued);
    }
}

/// A counter with more pending than any system has, none of which is to be stored.
struct Endless {
    inner: Arc<dyn Counter>,
    body: MessageBody,
    clock: Arc<ManualClock>,
    /// How long one reading takes.
    pace: Duration,
    /// The places that were asked for.
    asked: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl CounterShim for Endless {
    fn inner(&self) -> &dyn Counter {
        &*self.inner
    }

    async fn pending_since(
        &self,
        _: Timestamp,
        after: Option<PendingPlace>,
        limit: usize,
    ) -> Result<Vec<Pending>, PortError> {
        self.clock.advance(self.pace);
        let after = after.map_or(0, |place| place.0.parse().unwrap());
        self.asked.lock().unwrap().push(after);
        let pending = |number: u64| Pending {
            place: PendingPlace(number.to_string()),
            creation: Creation {
                number: Number::try_new(number).unwrap(),
                epoch: Epoch::FIRST,
                draft: Draft {
                    uid: Uid::new(number.into()),
                    created_at: Timestamp::MIN,
                    content: Content::Message {
                        chat: ChatKey {
                            application: ApplicationId::new(1),
                            chat: Number::FIRST.into(),
                        },
                        sender: Sender::parse("ann").ok(),
                        body: self.body.clone(),
                    },
                },
            },
            confirmed: true,
            dead_letter: Some(chat_core::model::DeadLetterId::new("letter")),
        };
        Ok((after + 1..=after + limit as u64).map(pending).collect())
    }
}

/// Audits over an endless counter, and returns where each audit began and ended.
async fn audit_without_end(body: &str, pace: Duration) -> Vec<(u64, u64)> {
    let memory = Memory::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let counter = Arc::new(Weak(Endless {
        inner: memory.counter.clone(),
        body: MessageBody::parse(body).unwrap(),
        clock: memory.clock.clone(),
        pace,
        asked: Arc::clone(&asked),
    }));
    let ports = Ports {
        counter,
        ..memory.ports()
    };
    let services = Services::new(&ports, &Policy::default());
    let mut audits = Vec::new();
    for _ in 0..3 {
        let audit = services.reconciler.run_once(HOLDER);
        let audit = tokio::time::timeout(Duration::from_secs(30), audit).await;
        let audited = audit.expect("an audit has an end").unwrap();
        assert!(audited.unfinished);
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        audits.push((*asked.first().unwrap(), *asked.last().unwrap()));
    }
    audits
}

#[tokio::test]
async fn a_rescue_has_an_end_and_the_next_one_goes_on_there() {
    let large = "x".repeat(MessageBody::MAX);
    for (body, pace, most) in [
        ("many", Duration::ZERO, 65_536),
        (&*large, Duration::ZERO, 256 << 20 >> 15),
        ("slow", Duration::from_secs(1), 10_000),
    ] {
        let audits = audit_without_end(body, pace).await;
        for pair in audits.windows(2) {
            let (begun, ended) = pair[0];
            assert!(
                begun < ended && ended - begun <= most,
                "{body:.9}: {audits:?}"
            );
            assert!(pair[1].0 > ended, "{body:.9}: {audits:?}");
        }
    }
}

/// A repository whose audit of chats fails, wholly or in part.
struct Failing {
    inner: Arc<dyn Repository>,
    is_whole: bool,
}

#[async_trait]
impl RepositoryShim for Failing {
    fn inner(&self) -> &dyn Repository {
        &*self.inner
    }

    async fn audit_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Audit<ChatKey>, PortError> {
        if self.is_whole {
            return Err(PortError::new(
                PortErrorKind::Timeout,
                "test",
                "audit chats",
            ));
        }
        let mut audit = self.inner.audit_chats(after, limit).await?;
        audit.failed.push(ChatKey {
            application: ApplicationId::new(1),
            chat: Number::FIRST.into(),
        });
        Ok(audit)
    }
}

/// A system over a failing repository, with a deleted chat and a message below it to purge.
async fn failing(is_whole: bool) -> Stage {
    let memory = Memory::new();
    let inner = memory.repository.clone();
    let ports = Ports {
        repository: Arc::new(Weak(Failing { inner, is_whole })),
        ..memory.ports()
    };
    let stage = Stage::over(memory, ports).await;
    stage.send(1).await;
    let worker = Consumer("worker".to_owned());
    let stored = stage.services.persister.run_once(&worker, Duration::ZERO);
    assert_eq!(stored.await.unwrap().done, 2);
    stage
        .services
        .chats
        .delete(&stage.token, stage.chat)
        .await
        .unwrap();
    stage
}

#[tokio::test]
async fn what_could_not_be_compared_is_told_and_hinders_nothing() {
    let stage = failing(false).await;
    let audited = stage.audit().await;
    assert_eq!((audited.failed, audited.purged), (1, 1));
    let job = stage.memory.repository.job(JobName::AuditCounts).await;
    let progress = job.unwrap().unwrap().progress;
    assert_eq!(progress.state, JobState::Done);
    assert_eq!(
        progress.detail.as_deref(),
        Some("counts that could not be compared or repaired: 1")
    );
}

#[tokio::test]
async fn an_audit_that_fails_keeps_no_purge_from_being_done() {
    let stage = failing(true).await;
    let failure = stage
        .services
        .reconciler
        .run_once(HOLDER)
        .await
        .unwrap_err();
    assert_eq!(failure.operation, "audit chats");
    let purged = stage.memory.repository.job(JobName::Purge).await;
    let progress = purged.unwrap().unwrap().progress;
    assert_eq!((progress.state, progress.done), (JobState::Done, 1));
}
