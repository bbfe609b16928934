//! Entries that cannot be stored: what they cost their neighbours, and what becomes of them.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "weakened/shim.rs"]
mod shim;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    memory::{ManualClock, Memory},
    model::{
        ApplicationName, ApplicationToken, ChatNumber, Content, Creation, DeadLetter, DeadLetterId,
        Limit, MessageBody, Number, NumberRange, Timestamp,
    },
    ports::{Clock as _, Consumer, Ports, Queue, Repository, StoreBatch, StoreReport},
    service::{OpenedLetter, Persister, Policy, ReplayError, ServiceError, Services},
};
use shim::{QueueShim, RepositoryShim, Weak};

/// The body that is not stored.
const REFUSED: &str = "refused";

/// How long a transaction takes.
const TRANSACTION: Duration = Duration::from_millis(5);

/// How long an entry may delay its neighbours.
const DELAY: Duration = Duration::from_secs(1);

/// Fails each batch that holds what it refuses, and takes [`TRANSACTION`] for every batch.
struct Judging {
    inner: Arc<dyn Repository>,
    clock: Arc<ManualClock>,
    kind: PortErrorKind,
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl RepositoryShim for Judging {
    fn inner(&self) -> &dyn Repository {
        &*self.inner
    }

    async fn store(&self, batch: &StoreBatch) -> Result<StoreReport, PortError> {
        self.clock.advance(TRANSACTION);
        let is_refused = |creation: &Creation| match &creation.draft.content {
            Content::Message { body, .. } => body.as_str() == REFUSED,
            Content::Chat { .. } => false,
        };
        if self.refuses.load(Ordering::Relaxed)
            && batch.creations.iter().any(|(it, _)| is_refused(it))
        {
            return Err(PortError::new(self.kind, "test", "store a batch"));
        }
        self.inner.store(batch).await
    }

    async fn add_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        if self.refuses.load(Ordering::Relaxed) && letter.payload == REFUSED.as_bytes() {
            return Err(PortError::new(
                PortErrorKind::Rejected,
                "test",
                "add a dead letter",
            ));
        }
        self.inner.add_dead_letter(letter).await
    }
}

/// A chat in a system whose repository refuses some messages.
struct Stage {
    memory: Memory,
    ports: Ports,
    services: Services,
    refuses: Arc<AtomicBool>,
    token: ApplicationToken,
    chat: ChatNumber,
}

impl Stage {
    async fn new(kind: PortErrorKind) -> Self {
        let memory = Memory::new();
        let refuses = Arc::new(AtomicBool::new(true));
        let ports = memory.ports();
        let ports = Ports {
            repository: Arc::new(Weak(Judging {
                inner: Arc::clone(&ports.repository),
                clock: Arc::clone(&memory.clock),
                kind,
                refuses: Arc::clone(&refuses),
            })),
            ..ports
        };
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("an application").unwrap();
        let token = services.applications.create(name).await.unwrap().token;
        let chat = services.chats.create(&token, None, None).await.unwrap();
        Self {
            memory,
            ports,
            services,
            refuses,
            token,
            chat: chat.item.key.chat,
        }
    }

    async fn send(&self, body: &str) -> Number {
        let body = MessageBody::parse(body).unwrap();
        let messages = &self.services.messages;
        let sent = messages.create(&self.token, self.chat, None, body, None);
        sent.await.unwrap().item.key.message.into()
    }

    /// Takes one batch from the queue.
    async fn store(&self) -> Result<(), PortError> {
        let worker = Consumer("worker".to_owned());
        let persister = &self.services.persister;
        let round = persister.run_once(&worker, Duration::ZERO).await;
        round.map(drop)
    }

    async fn stored(&self) -> u64 {
        self.ports.repository.count_messages().await.unwrap()
    }

    async fn letters(&self) -> Vec<OpenedLetter> {
        let most = Limit::try_new(1_000).unwrap();
        let page = self.services.dead_letters.list(None, most).await.unwrap();
        page.items
    }

    /// The body under a number; the list must have it just then, too.
    async fn read(&self, number: Number) -> Option<String> {
        let messages = &self.services.messages;
        let found = messages.get(&self.token, self.chat, number.into()).await;
        let most = Limit::try_new(1_000).unwrap();
        let page = messages.list(&self.token, self.chat, NumberRange::all(), most);
        let page = page.await.unwrap().items;
        let is_listed = page.iter().any(|it| Number::from(it.key.message) == number);
        assert_eq!(is_listed, found.is_ok(), "{number}");
        found.ok().map(|message| message.body.into())
    }
}

#[tokio::test]
async fn refused_entries_delay_their_batch_by_less_than_a_second() {
    let seven: Vec<u64> = (0..7).map(|of| of * 71).collect();
    for refused in [&[0][..], &[249], &[498], &[100, 101, 102], &seven] {
        let stage = Stage::new(PortErrorKind::Rejected).await;
        for number in 0..499 {
            let is_refused = refused.contains(&number);
            stage.send(if is_refused { REFUSED } else { "fine" }).await;
        }
        let began = stage.memory.clock.now();
        stage.store().await.unwrap();
        let took = stage.memory.clock.now().since(began);
        assert!(took < DELAY, "{refused:?} took {took:?}");
        assert_eq!(stage.letters().await.len(), refused.len());
        assert_eq!(stage.stored().await, 499 - refused.len() as u64);
        assert!(stage.memory.queue.is_empty());
    }
}

/// A server may fail on one entry with an error that seems to be about the server.
#[tokio::test]
async fn what_fails_for_no_known_reason_holds_up_itself_alone() {
    let stage = Stage::new(PortErrorKind::Unavailable).await;
    for number in 0..40 {
        stage
            .send(if number % 13 == 5 { REFUSED } else { "fine" })
            .await;
    }
    let began = stage.memory.clock.now();
    let mut pause = Duration::from_millis(100);
    while stage.stored().await < 37 {
        assert!(stage.store().await.is_err());
        stage.memory.clock.advance(pause);
        pause *= 2;
        let took = stage.memory.clock.now().since(began);
        assert!(
            took < Duration::from_secs(2),
            "{} stored",
            stage.stored().await
        );
    }
    // What comes later waits for nothing, however often those have failed.
    for late in 1..=5 {
        stage.send("later").await;
        assert!(stage.store().await.is_err());
        assert_eq!(stage.stored().await, 37 + late);
    }
    // None of it is given up.
    assert!(stage.letters().await.is_empty());
    stage.refuses.store(false, Ordering::Relaxed);
    stage.store().await.unwrap();
    assert_eq!(stage.stored().await, 45);
}

#[tokio::test]
async fn what_waited_for_the_database_is_stored_in_few_transactions() {
    let stage = Stage::new(PortErrorKind::Unavailable).await;
    for _ in 0..490 {
        stage.send(REFUSED).await;
    }
    for _ in 0..9 {
        assert!(stage.store().await.is_err());
    }
    assert_eq!(stage.stored().await, 0);
    stage.refuses.store(false, Ordering::Relaxed);
    let began = stage.memory.clock.now();
    while stage.stored().await < 490 {
        stage.store().await.unwrap();
    }
    let took = stage.memory.clock.now().since(began);
    assert!(took <= TRANSACTION * 12, "it took {took:?}");
}

#[tokio::test]
async fn what_can_neither_be_read_nor_set_aside_holds_up_itself_alone() {
    let stage = Stage::new(PortErrorKind::Rejected).await;
    stage
        .memory
        .queue
        .publish_bytes(REFUSED.as_bytes().to_vec());
    stage.memory.queue.publish_bytes(b"garbage".to_vec());
    stage.send("fine").await;
    for _ in 0..3 {
        assert!(stage.store().await.is_err());
        assert_eq!(stage.stored().await, 1);
        assert_eq!(stage.letters().await.len(), 1);
    }
    stage.refuses.store(false, Ordering::Relaxed);
    stage.store().await.unwrap();
    assert_eq!(stage.letters().await.len(), 2);
    assert!(stage.memory.queue.is_empty());
}

/// A queue counts its deliveries anew for each worker, and after each start.
#[tokio::test]
async fn what_two_queues_call_alike_is_set_aside_apart() {
    let (one, other) = (Memory::new(), Memory::new());
    for (memory, bytes) in [(&one, b"garbage"), (&other, b"rubbish")] {
        memory.queue.publish_bytes(bytes.to_vec());
        let ports = Ports {
            queue: memory.queue.clone(),
            ..one.ports()
        };
        let services = Services::new(&ports, &Policy::default());
        let worker = Consumer("worker".to_owned());
        let stored = services.persister.run_once(&worker, Duration::ZERO).await;
        assert_eq!(stored.unwrap().set_aside, 1);
    }
    let letters = one.repository.dead_letters(None, 9).await.unwrap();
    let mut kept: Vec<_> = letters.into_iter().map(|letter| letter.payload).collect();
    kept.sort();
    assert_eq!(kept, [b"garbage", b"rubbish"]);
}

#[tokio::test]
async fn of_what_is_no_creation_a_mebibyte_is_kept() {
    let memory = Memory::new();
    let services = Services::new(&memory.ports(), &Policy::default());
    for end in [b"one", b"two"] {
        let bytes = [&vec![b'x'; 2 * DeadLetter::MOST_PAYLOAD][..], end].concat();
        memory.queue.publish_bytes(bytes);
    }
    let worker = Consumer("worker".to_owned());
    let stored = services.persister.run_once(&worker, Duration::ZERO).await;
    assert_eq!(stored.unwrap().set_aside, 2);
    let all = Limit::try_new(9).unwrap();
    let (mut after, mut pages) = (None, 0);
    loop {
        let page = services.dead_letters.list(after, all).await.unwrap();
        pages += 1;
        // Two are more than a page holds.
        assert_eq!(page.items.len(), 1);
        let letter = &page.items[0].letter;
        assert_eq!(letter.payload.len(), DeadLetter::MOST_PAYLOAD);
        assert!(letter.detail.contains("2097155 bytes"), "{}", letter.detail);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn what_is_set_aside_is_read_under_its_number_until_somebody_decides() {
    let stage = Stage::new(PortErrorKind::Rejected).await;
    let mut numbers = Vec::new();
    for body in ["one", REFUSED, "three", REFUSED] {
        numbers.push(stage.send(body).await);
    }
    stage.store().await.unwrap();
    let letters = stage.letters().await;
    let id = |number: Number| -> DeadLetterId {
        let of = |it: &&OpenedLetter| it.letter.number == Some(number);
        letters.iter().find(of).unwrap().letter.id.clone()
    };
    for number in [numbers[1], numbers[3]] {
        assert_eq!(stage.read(number).await.as_deref(), Some(REFUSED));
    }

    stage.refuses.store(false, Ordering::Relaxed);
    let service = &stage.services.dead_letters;
    service.replay(&id(numbers[1]), false).await.unwrap();
    assert_eq!(stage.read(numbers[1]).await.as_deref(), Some(REFUSED));
    stage.store().await.unwrap();
    assert_eq!(stage.read(numbers[1]).await.as_deref(), Some(REFUSED));
    assert_eq!(stage.stored().await, 3);

    assert_eq!(stage.read(numbers[3]).await.as_deref(), Some(REFUSED));
    service.drop_letter(&id(numbers[3])).await.unwrap();
    assert_eq!(stage.read(numbers[3]).await, None);
    assert!(stage.letters().await.is_empty());
    // The number is not given again.
    assert_eq!(stage.send("five").await.get(), 5);
}

/// A queue whose worker is faster than its publisher.
struct StoresAtOnce {
    inner: Arc<dyn Queue>,
    persister: Arc<Persister>,
}

#[async_trait]
impl QueueShim for StoresAtOnce {
    fn inner(&self) -> &dyn Queue {
        &*self.inner
    }

    async fn publish(&self, creation: &Creation, forced: bool) -> Result<(), PortError> {
        self.inner.publish(creation, forced).await?;
        let worker = Consumer("worker".to_owned());
        self.persister.run_once(&worker, Duration::ZERO).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_letter_that_fails_again_at_once_outlives_its_replay() {
    let stage = Stage::new(PortErrorKind::Rejected).await;
    let number = stage.send(REFUSED).await;
    stage.store().await.unwrap();
    let before = stage.letters().await.remove(0).letter;
    let ports = Ports {
        queue: Arc::new(Weak(StoresAtOnce {
            inner: Arc::clone(&stage.ports.queue),
            persister: Arc::clone(&stage.services.persister),
        })),
        ..stage.ports.clone()
    };
    let services = Services::new(&ports, &Policy::default());
    services
        .dead_letters
        .replay(&before.id, false)
        .await
        .unwrap();
    let after = stage.letters().await.remove(0).letter;
    assert_eq!(
        (&after.id, after.first_failed_at),
        (&before.id, before.first_failed_at)
    );
    assert!(after.last_failed_at > before.last_failed_at);
    // What is pending points to it, so that the audit does not take it for lost.
    let pending = ports.counter.pending_since(Timestamp::MAX, None, 9);
    let pending = pending.await.unwrap();
    let pointed: Vec<_> = pending.into_iter().map(|it| it.dead_letter).collect();
    assert_eq!(pointed, [Some(after.id.clone())]);
    assert_eq!(stage.read(number).await.as_deref(), Some(REFUSED));

    stage.refuses.store(false, Ordering::Relaxed);
    services
        .dead_letters
        .replay(&after.id, false)
        .await
        .unwrap();
    assert!(stage.letters().await.is_empty());
    assert_eq!(stage.stored().await, 1);
    let gone = services.dead_letters.replay(&after.id, false).await;
    assert!(
        matches!(gone, Err(ReplayError::Service(ServiceError::NotFound))),
        "{gone:?}"
    );
}
