//! A rebuild of an index that does not get all done at once.

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
    PortError,
    memory::Memory,
    model::{ApplicationName, Generation, JobName, MessageBody},
    ports::{
        Applied, Claim, Clock as _, Consumer, IndexChange, Ports, Repository, SearchIndex,
        SearchQuery,
    },
    service::{Policy, Services},
    text::Terms,
};
use shim::{RepositoryShim, SearchIndexShim, Weak};

const HOLDER: &str = "test";

/// An index that carries out nothing of its first changes, and says so.
struct Hesitant {
    index: Arc<dyn SearchIndex>,
    answer: Applied,
    was_asked: AtomicBool,
}

#[async_trait]
impl SearchIndexShim for Hesitant {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.index
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        if !self.was_asked.swap(true, Ordering::Relaxed) {
            return Ok(vec![self.answer.clone(); changes.len()]);
        }
        self.index.apply(generation, changes).await
    }
}

/// A repository that counts for two minutes, while another process looks for something to do.
struct LongCount {
    memory: Memory,
}

#[async_trait]
impl RepositoryShim for LongCount {
    fn inner(&self) -> &dyn Repository {
        &*self.memory.repository
    }

    async fn count_messages(&self) -> Result<u64, PortError> {
        self.memory.clock.advance(Duration::from_mins(2));
        let others = Services::new(&self.memory.ports(), &Policy::default());
        assert!(
            !others.rebuilder.run_once("other").await?,
            "it was taken over"
        );
        self.inner().count_messages().await
    }
}

#[tokio::test]
async fn a_rebuild_that_counts_for_long_is_not_taken_over() {
    let memory = Memory::new();
    let ports = Ports {
        repository: Arc::new(Weak(LongCount {
            memory: memory.clone(),
        })),
        ..memory.ports()
    };
    let services = Services::new(&ports, &Policy::default());
    assert!(services.rebuilder.run_once(HOLDER).await.unwrap());
}

#[tokio::test]
async fn a_rebuild_that_its_holder_left_is_taken_up_at_once() {
    let memory = Memory::new();
    let rebuilder = Services::new(&memory.ports(), &Policy::default()).rebuilder;
    rebuilder.request().await.unwrap();
    let claim = Claim::new("leaving", memory.clock.now(), Duration::from_secs(30));
    let claimed = memory.repository.claim_job(JobName::RebuildSearch, &claim);
    claimed.await.unwrap();
    rebuilder.leave("another").await.unwrap();
    let is_done = rebuilder.run_once(HOLDER).await.unwrap();
    assert!(!is_done, "it is not another's to leave");
    rebuilder.leave("leaving").await.unwrap();
    assert!(rebuilder.run_once(HOLDER).await.unwrap());
    rebuilder.leave("leaving").await.unwrap();
    assert!(!rebuilder.run_once(HOLDER).await.unwrap(), "it is done");
}

#[tokio::test]
async fn what_a_rebuild_could_not_write_comes_afterwards() {
    let detail = "busy".to_owned();
    for answer in [Applied::Unfinished, Applied::Retry { detail }] {
        let memory = Memory::new();
        let ports = Ports {
            search: Arc::new(Weak(Hesitant {
                index: memory.search.clone(),
                answer,
                was_asked: AtomicBool::default(),
            })),
            ..memory.ports()
        };
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("rebuilt").unwrap();
        let token = services.applications.create(name).await.unwrap().token;
        let chat = services.chats.create(&token, None, None).await.unwrap();
        let chat = chat.item.key.chat;
        let body = MessageBody::parse("hello").unwrap();
        let sent = services.messages.create(&token, chat, None, body, None);
        sent.await.unwrap();
        let worker = Consumer("worker".to_owned());
        let store = || services.persister.run_once(&worker, Duration::ZERO);
        while store().await.unwrap().received > 0 {}

        assert!(services.rebuilder.run_once(HOLDER).await.unwrap());
        let query = SearchQuery {
            chat: None,
            terms: Terms::of("hello"),
            limit: 10,
            after: None,
        };
        assert!(memory.search.find(&query).await.unwrap().is_empty());
        assert_eq!(services.indexer.run_once(HOLDER).await.unwrap().rows, 1);
        assert_eq!(memory.search.find(&query).await.unwrap().len(), 1);
    }
}
