//! From what is stored to what is found.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_core::{
    PortError, PortErrorKind,
    memory::Memory,
    model::{
        ApplicationName, ApplicationToken, ChatNumber, DeadLetterReason, Generation, JobName,
        JobProgress, JobState, Limit, MessageBody, MessageNumber, SearchText,
    },
    ports::{
        Applied, Claim, Clock as _, Consumer, MockSearchIndex, Ports, Repository as _, SearchIndex,
    },
    service::{Hit, Policy, Services},
};

const HOLDER: &str = "test";

/// A system with a chat.
struct Stage {
    memory: Memory,
    services: Services,
    token: ApplicationToken,
    chat: ChatNumber,
}

impl Stage {
    async fn new() -> Self {
        let memory = Memory::new();
        let ports = memory.ports();
        Self::over(memory, ports).await
    }

    async fn over(memory: Memory, ports: Ports) -> Self {
        Self::with(memory, &ports, &Policy::default()).await
    }

    async fn with(memory: Memory, ports: &Ports, policy: &Policy) -> Self {
        let services = Services::new(ports, policy);
        let name = ApplicationName::parse("indexing").expect("a name");
        let application = services.applications.create(name).await;
        let token = application.expect("an application").token;
        let chat = services.chats.create(&token, None, None).await;
        let chat = chat.expect("a chat").item.key.chat;
        Self {
            memory,
            services,
            token,
            chat,
        }
    }

    async fn send(&self, body: &str) -> MessageNumber {
        let body = MessageBody::parse(body).expect("a body");
        let messages = &self.services.messages;
        let sent = messages.create(&self.token, self.chat, None, body, None);
        sent.await.expect("a message").item.key.message
    }

    async fn store(&self) {
        let worker = Consumer("worker".to_owned());
        let store = || self.services.persister.run_once(&worker, Duration::ZERO);
        while store().await.expect("a round").received > 0 {}
    }

    async fn index(&self) {
        let index = || self.services.indexer.run_once(HOLDER);
        while index().await.expect("a round").completed > 0 {}
    }

    async fn rebuild(&self) -> bool {
        let rebuilt = self.services.rebuilder.run_once(HOLDER).await;
        rebuilt.expect("a rebuild")
    }

    async fn outbox_rows(&self) -> u64 {
        let repository = &self.memory.repository;
        repository.outbox_backlog().await.expect("a backlog").rows
    }

    async fn hits(&self, text: &str) -> Vec<Hit> {
        let text = SearchText::parse(text).expect("a text");
        let search = &self.services.search;
        let page = search.in_chat(&self.token, self.chat, &text, None, Limit::default());
        page.await.expect("a page").items
    }

    async fn found(&self, text: &str) -> Vec<u64> {
        let hits = self.hits(text).await;
        hits.iter()
            .map(|hit| hit.message.key.message.get())
            .collect()
    }
}

#[tokio::test]
async fn what_is_stored_changed_or_deleted_is_found_changed_or_gone() {
    let stage = Stage::new().await;
    stage.rebuild().await;
    let (first, second) = (stage.send("a red car").await, stage.send("red").await);
    stage.store().await;
    stage.index().await;
    assert_eq!(stage.found("red").await, [2, 1]);
    let messages = &stage.services.messages;
    let blue = MessageBody::parse("a blue car").unwrap();
    let change = messages.update(&stage.token, stage.chat, first, &blue);
    change.await.unwrap();
    messages
        .delete(&stage.token, stage.chat, second)
        .await
        .unwrap();
    // Not indexed yet: what the index still has is left out.
    assert!(stage.found("red").await.is_empty());
    stage.index().await;
    assert_eq!(stage.found("blue").await, [1]);
    assert_eq!(stage.outbox_rows().await, 0);
}

#[tokio::test]
async fn a_hit_shows_where_it_matches() {
    let stage = Stage::new().await;
    stage.rebuild().await;
    stage.send("Where is my <parcel>?").await;
    stage.store().await;
    stage.index().await;
    let hits = stage.hits("parcle").await;
    let highlight = "Where is my &lt;<em>parcel</em>&gt;?";
    assert_eq!(hits[0].highlight.as_deref(), Some(highlight));
    assert!(hits[0].score > 0);
}

#[tokio::test]
async fn hits_are_paged_by_their_rank() {
    let stage = Stage::new().await;
    stage.rebuild().await;
    for _ in 0..5 {
        stage.send("car").await;
        stage.send("cars").await;
    }
    stage.store().await;
    stage.index().await;
    let (text, limit) = (
        SearchText::parse("car").unwrap(),
        Limit::try_new(3).unwrap(),
    );
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let search = &stage.services.search;
        let page = search.in_chat(&stage.token, stage.chat, &text, after, limit);
        let page = page.await.unwrap();
        found.extend(page.items.iter().map(|hit| hit.message.key.message.get()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [9, 7, 5, 3, 1, 10, 8, 6, 4, 2]);
}

#[tokio::test]
async fn a_rebuild_finds_what_was_there_before_the_index() {
    let stage = Stage::new().await;
    for number in 0..10 {
        stage.send(&format!("old {number}")).await;
    }
    stage.store().await;
    assert!(stage.rebuild().await);
    assert_eq!(stage.found("old").await.len(), 10);
    let progress = stage.services.rebuilder.progress().await.unwrap().unwrap();
    assert_eq!(
        (progress.state, progress.done, progress.total),
        (JobState::Done, 10, 10)
    );
    assert!(!stage.rebuild().await, "nothing more is due");
}

#[tokio::test]
async fn a_rebuild_is_done_once_however_often_it_is_asked_for() {
    let stage = Stage::new().await;
    stage.rebuild().await;
    let rebuilder = &stage.services.rebuilder;
    for _ in 0..3 {
        let progress = rebuilder.request().await.unwrap();
        assert_eq!(progress.state, JobState::Running);
    }
    assert!(stage.rebuild().await);
    assert!(!stage.rebuild().await);
    let ports = stage.memory.ports();
    let serving = ports.repository.generations().await.unwrap();
    assert_eq!(serving.len(), 1);
    assert_eq!(
        ports.search.generations().await.unwrap(),
        [serving[0].number]
    );
}

#[tokio::test]
async fn a_lost_index_is_built_anew() {
    let stage = Stage::new().await;
    stage.rebuild().await;
    stage.send("still here").await;
    stage.store().await;
    stage.index().await;
    let ports = stage.memory.ports();
    let serving = ports.repository.generations().await.unwrap()[0];
    ports.search.remove_generation(&serving).await.unwrap();
    assert!(stage.rebuild().await);
    assert_eq!(stage.found("here").await, [1]);
}

#[tokio::test]
async fn a_rebuild_whose_holder_died_is_taken_over() {
    let stage = Stage::new().await;
    stage.send("waiting").await;
    stage.store().await;
    stage.services.rebuilder.request().await.unwrap();
    let repository = stage.memory.ports().repository;
    // It died after it had added its generation.
    let now = stage.memory.clock.now();
    let claim = Claim::new("dead", now, Duration::from_secs(30));
    let claimed = repository.claim_job(JobName::RebuildSearch, &claim).await;
    claimed.unwrap();
    let left: Generation = repository.add_generation().await.unwrap();
    assert!(!stage.rebuild().await, "its lease lasts");
    stage.memory.clock.advance(Duration::from_secs(31));
    assert!(stage.rebuild().await);
    assert_eq!(stage.found("waiting").await, [1]);
    let generations = repository.generations().await.unwrap();
    assert!(!generations.iter().any(|it| it.number == left.number));
}

#[tokio::test]
async fn who_looks_on_moves_nothing_while_another_lets_its_generation_serve() {
    let memory = Memory::new();
    let mut index = MockSearchIndex::new();
    let created = Arc::new(AtomicU64::new(0));
    let listed = Arc::clone(&created);
    index
        .expect_generations()
        .returning(move || Ok(vec![listed.load(Ordering::Relaxed)]));
    index.expect_remove_generation().returning(|_| Ok(()));
    index.expect_remove_others().returning(|_| Ok(()));
    index
        .expect_create_generation()
        .returning(move |generation| {
            created.store(generation.number, Ordering::Relaxed);
            Ok(())
        });
    // Once when it is built, and once when nobody builds any more.
    index
        .expect_serve_generation()
        .times(2)
        .returning(|_| Ok(()));
    let ports = Ports {
        search: Arc::new(index),
        ..memory.ports()
    };
    let stage = Stage::over(memory, ports).await;
    assert!(stage.rebuild().await);
    stage.services.rebuilder.request().await.unwrap();
    let repository = stage.memory.ports().repository;
    let claim = Claim::new("other", stage.memory.clock.now(), Duration::from_secs(30));
    let claimed = repository.claim_job(JobName::RebuildSearch, &claim).await;
    claimed.unwrap();
    assert!(!stage.rebuild().await);
    let progress = JobProgress::begun(stage.memory.clock.now());
    let done = JobProgress {
        state: JobState::Done,
        ..progress
    };
    let ended = Claim::new("other", stage.memory.clock.now(), Duration::ZERO);
    let reported = repository.report_job(JobName::RebuildSearch, &ended, &done);
    assert!(reported.await.unwrap());
    assert!(!stage.rebuild().await);
}

#[tokio::test]
async fn a_generation_that_cannot_serve_is_not_left_behind() {
    let memory = Memory::new();
    let mut index = MockSearchIndex::new();
    index.expect_generations().returning(|| Ok(Vec::new()));
    index.expect_create_generation().returning(|_| Ok(()));
    index
        .expect_remove_generation()
        .times(2)
        .returning(|_| Ok(()));
    index.expect_serve_generation().returning(|_| {
        let kind = PortErrorKind::Unavailable;
        Err(PortError::new(kind, "mock", "serve a generation"))
    });
    let ports = Ports {
        search: Arc::new(index),
        ..memory.ports()
    };
    let stage = Stage::over(memory, ports).await;
    let rebuilt = stage.services.rebuilder.run_once(HOLDER).await;
    assert!(rebuilt.is_err());
    let generations = stage.memory.repository.generations().await.unwrap();
    assert!(generations.is_empty(), "{generations:?}");
}

/// Nothing is built for an index that is away, even if a rebuild was asked for while it was there.
#[tokio::test]
async fn no_generation_is_added_for_an_index_that_is_not_there() {
    let memory = Memory::new();
    let services = Services::new(&memory.ports(), &Policy::default());
    let mut absent = MockSearchIndex::new();
    absent.expect_generations().returning(|| {
        let kind = PortErrorKind::Unavailable;
        Err(PortError::new(kind, "test", "list generations"))
    });
    let ports = Ports {
        search: Arc::new(absent),
        ..memory.ports()
    };
    let without = Services::new(&ports, &Policy::default());
    assert!(without.rebuilder.request().await.is_err());
    let (repository, name) = (&memory.repository, JobName::RebuildSearch);
    assert!(repository.job(name).await.unwrap().is_none());
    services.rebuilder.request().await.unwrap();
    assert!(without.rebuilder.run_once(HOLDER).await.is_err());
    assert!(repository.generations().await.unwrap().is_empty());
}

/// A rebuild waits for an index that is away, up to a limit, and keeps what is done; an index that has
/// lost that is not waited for.
#[tokio::test]
async fn a_rebuild_waits_for_an_index_that_is_away() {
    const MINUTE: Duration = Duration::from_mins(1);
    for (away, is_lost, is_built) in [
        (4 * MINUTE, false, true),
        (9 * MINUTE, false, false),
        (MINUTE, true, false),
    ] {
        let memory = Memory::new();
        let down = |operation| PortError::new(PortErrorKind::Unavailable, "mock", operation);
        let mut index = MockSearchIndex::new();
        index.expect_create_generation().returning(|_| Ok(()));
        index.expect_serve_generation().returning(|_| Ok(()));
        index.expect_remove_generation().returning(|_| Ok(()));
        index.expect_remove_others().returning(|_| Ok(()));
        let mut looks = 0;
        index.expect_generations().returning(move || {
            looks += 1;
            // It is there when the rebuild is asked for, and when it begins.
            if looks <= 2 || is_lost {
                return Ok(Vec::new());
            }
            Err(down("list generations"))
        });
        let clock = memory.clock.clone();
        let back = clock.now().plus(away);
        index.expect_apply().returning(move |_, changes| {
            if clock.now() < back {
                return Err(down("apply changes"));
            }
            Ok(vec![Applied::Done; changes.len()])
        });
        let ports = Ports {
            search: Arc::new(index),
            ..memory.ports()
        };
        let stage = Stage::over(memory, ports).await;
        stage.send("waiting").await;
        stage.store().await;
        let began = stage.memory.clock.now();
        let rebuilt = stage.services.rebuilder.run_once(HOLDER).await;
        assert_eq!(rebuilt.is_ok(), is_built, "{rebuilt:?}");
        let took = stage.memory.clock.now().since(began);
        let bound = if is_lost { MINUTE / 6 } else { 6 * MINUTE };
        assert!(took < bound, "{took:?}");
        let generations = stage.memory.repository.generations().await.unwrap();
        assert_eq!(generations.len(), usize::from(is_built));
    }
}

/// An index that takes every generation; what it does with changes is up to the test.
fn index() -> MockSearchIndex {
    let mut index = MockSearchIndex::new();
    index.expect_generations().returning(|| Ok(Vec::new()));
    index.expect_remove_generation().returning(|_| Ok(()));
    index.expect_remove_others().returning(|_| Ok(()));
    index.expect_create_generation().returning(|_| Ok(()));
    index.expect_serve_generation().returning(|_| Ok(()));
    index
}

/// An index that answers each change with `applied`.
fn index_that(applied: Applied) -> Arc<dyn SearchIndex> {
    let mut index = index();
    index
        .expect_apply()
        .returning(move |_, changes| Ok(vec![applied.clone(); changes.len()]));
    Arc::new(index)
}

async fn over(index: Arc<dyn SearchIndex>) -> Stage {
    let memory = Memory::new();
    let ports = Ports {
        search: index,
        ..memory.ports()
    };
    let stage = Stage::over(memory, ports).await;
    stage.rebuild().await;
    stage.send("hello").await;
    stage.store().await;
    stage
}

#[tokio::test]
async fn what_the_index_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let detail = "no".to_owned();
    let stage = over(index_that(Applied::Refused { detail })).await;
    let round = stage.services.indexer.run_once(HOLDER).await.unwrap();
    assert_eq!((round.rows, round.completed, round.refused), (1, 1, 1));
    let letters = &stage.services.dead_letters;
    let page = letters.list(None, Limit::default()).await.unwrap();
    let letter = &page.items[0].letter;
    assert_eq!(letter.reason, DeadLetterReason::NotIndexable);
    assert_eq!(letter.message().map(|key| key.message.get()), Some(1));
    letters.replay(&letter.id, false).await.unwrap();
    let round = stage.services.indexer.run_once(HOLDER).await.unwrap();
    assert_eq!(round.refused, 1, "it was tried again");
    letters.drop_letter(&letter.id).await.unwrap();
}

#[tokio::test]
async fn what_the_index_cannot_take_now_comes_again() {
    let detail = "later".to_owned();
    let stage = over(index_that(Applied::Retry { detail })).await;
    let round = stage.services.indexer.run_once(HOLDER).await.unwrap();
    assert_eq!((round.rows, round.completed), (1, 0));
    let again = || stage.services.indexer.run_once(HOLDER);
    assert_eq!(again().await.unwrap().rows, 0, "it rests for a while");
    stage.memory.clock.advance(Duration::from_secs(61));
    assert_eq!(again().await.unwrap().rows, 1);
}

#[tokio::test]
async fn an_index_that_is_slow_gets_on() {
    let memory = Memory::new();
    let (mut index, clock) = (index(), memory.clock.clone());
    index.expect_apply().returning(move |_, changes| {
        // Two of these calls take longer than the lease of rows that were taken.
        clock.advance(Duration::from_secs(15));
        Ok(vec![Applied::Done; changes.len()])
    });
    let ports = Ports {
        search: Arc::new(index),
        ..memory.ports()
    };
    let policy = Policy {
        index_batch: 1,
        ..Policy::default()
    };
    let stage = Stage::with(memory, &ports, &policy).await;
    stage.rebuild().await;
    for _ in 0..4 {
        stage.send("hello").await;
        stage.store().await;
    }
    for (left, round) in [(2, 1), (0, 2)] {
        let indexed = stage.services.indexer.run_once(HOLDER).await.unwrap();
        assert_eq!(indexed.completed, 2, "round {round}");
        assert_eq!(stage.outbox_rows().await, left, "round {round}");
    }
}

#[tokio::test]
async fn an_index_that_is_down_loses_nothing() {
    let mut index = index();
    let down = || PortError::new(PortErrorKind::Unavailable, "mock", "apply changes");
    index.expect_apply().returning(move |_, _| Err(down()));
    let stage = over(Arc::new(index)).await;
    for _ in 0..3 {
        let round = stage.services.indexer.run_once(HOLDER).await;
        assert!(round.is_err(), "what was taken is not free again");
    }
    assert_eq!(stage.outbox_rows().await, 1);
}
