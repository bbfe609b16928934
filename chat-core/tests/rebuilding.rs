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
    model::{ApplicationName, Generation, MessageBody},
    ports::{Applied, Consumer, IndexChange, Ports, SearchIndex, SearchQuery},
    service::{Policy, Services},
    text::Terms,
};
use shim::{SearchIndexShim, Weak};

const HOLDER: &str = "test";

/// An index that does nothing of what it is told first, and says so.
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
