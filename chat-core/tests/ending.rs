//! Chats and applications that are deleted, and how all that was in them leaves the search index.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "weakened/shim.rs"]
mod shim;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    PortError,
    memory::Memory,
    model::{
        ApplicationId, ApplicationName, ApplicationToken, ChatNumber, Generation, MessageBody,
    },
    ports::{
        Applied, Clock as _, Consumer, IndexChange, Ports, Repository as _, SearchIndex,
        SearchQuery,
    },
    service::{Indexed, Indexer, Policy, Services},
    text::Terms,
};
use shim::{SearchIndexShim, Weak};

const HOLDER: &str = "test";

/// A system whose index is watched.
struct Stage {
    memory: Memory,
    services: Services,
    token: ApplicationToken,
}

impl Stage {
    async fn over<T: SearchIndexShim + 'static>(watch: impl FnOnce(&Memory) -> T) -> Self {
        let memory = Memory::new();
        let ports = Ports {
            search: Arc::new(Weak(watch(&memory))),
            ..memory.ports()
        };
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("ending").unwrap();
        let token = services.applications.create(name).await.unwrap().token;
        assert!(services.rebuilder.run_once(HOLDER).await.unwrap());
        Self {
            memory,
            services,
            token,
        }
    }

    /// Makes a chat with a message in it.
    async fn chat(&self) -> ChatNumber {
        let chat = self.services.chats.create(&self.token, None, None).await;
        let chat = chat.unwrap().item.key.chat;
        let body = MessageBody::parse("hello").unwrap();
        let messages = &self.services.messages;
        let sent = messages.create(&self.token, chat, None, body, None);
        sent.await.unwrap();
        let worker = Consumer("worker".to_owned());
        let store = || self.services.persister.run_once(&worker, Duration::ZERO);
        while store().await.unwrap().received > 0 {}
        chat
    }

    async fn index(&self) -> Indexed {
        self.services.indexer.run_once(HOLDER).await.unwrap()
    }
}

/// An index that needs three calls to delete what was in a chat.
struct Slow {
    index: Arc<dyn SearchIndex>,
    /// What each call was about: the end of chats, or messages.
    calls: Arc<Mutex<Vec<&'static str>>>,
}

#[async_trait]
impl SearchIndexShim for Slow {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.index
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let ends = |change: &IndexChange| matches!(change, IndexChange::DeleteChat(_));
        let many = changes.iter().filter(|change| ends(change)).count();
        assert!(many == 0 || many == changes.len(), "messages wait for it");
        let call = if many == 0 { "messages" } else { "end" };
        let earlier = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call);
            calls.iter().filter(|earlier| **earlier == "end").count()
        };
        if call == "end" && earlier < 3 {
            return Ok(vec![Applied::Unfinished; changes.len()]);
        }
        self.index.apply(generation, changes).await
    }
}

#[tokio::test]
async fn the_end_of_a_chat_holds_up_no_message_and_goes_on_at_once() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let stage = Stage::over(|memory| Slow {
        index: memory.search.clone(),
        calls: Arc::clone(&calls),
    })
    .await;
    let ended = stage.chat().await;
    assert_eq!(stage.index().await.completed, 1);
    let chats = &stage.services.chats;
    chats.delete(&stage.token, ended).await.unwrap();
    // What comes later is written first.
    stage.chat().await;
    for (rows, completed) in [(2, 1), (1, 0), (1, 1), (0, 0)] {
        let round = stage.index().await;
        assert_eq!((round.rows, round.completed), (rows, completed));
    }
    let calls = calls.lock().unwrap();
    assert_eq!(*calls, ["messages", "messages", "end", "end", "end"]);
}

#[tokio::test]
async fn more_ends_than_are_taken_at_once_hold_up_nothing_newer() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let stage = Stage::over(|memory| Slow {
        index: memory.search.clone(),
        calls: Arc::clone(&calls),
    })
    .await;
    let mut ended = Vec::new();
    for _ in 0..=Indexer::ROWS {
        ended.push(stage.chat().await);
    }
    while stage.index().await.rows > 0 {}
    for chat in ended {
        stage
            .services
            .chats
            .delete(&stage.token, chat)
            .await
            .unwrap();
    }
    stage.chat().await;
    calls.lock().unwrap().clear();
    let round = stage.index().await;
    assert_eq!((round.rows, round.completed), (Indexer::ROWS + 2, 1));
    assert_eq!(*calls.lock().unwrap(), ["end", "messages", "end"]);
    // None is forgotten.
    let mut completed = 0;
    while completed <= Indexer::ROWS {
        completed += stage.index().await.completed;
    }
}

/// The application that is deleted in the middle of the next call, and its system.
type Doomed = Arc<Mutex<Option<(Memory, ApplicationId)>>>;

/// An index so slow that an application is deleted meanwhile, which another indexer carries out.
struct Overtaken {
    index: Arc<dyn SearchIndex>,
    doomed: Doomed,
}

#[async_trait]
impl SearchIndexShim for Overtaken {
    fn inner(&self) -> &dyn SearchIndex {
        &*self.index
    }

    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let doomed = self.doomed.lock().unwrap().take();
        if let Some((memory, application)) = doomed {
            let now = memory.clock.now();
            let deleting = memory.repository.delete_application(application, now);
            deleting.await?;
            let others = Services::new(&memory.ports(), &Policy::default());
            assert_eq!(others.indexer.run_once("other").await?.completed, 1);
        }
        self.index.apply(generation, changes).await
    }
}

/// How many messages the index has with a word, whatever the repository says of them.
async fn indexed(memory: &Memory, word: &str) -> usize {
    let query = SearchQuery {
        chat: None,
        terms: Terms::of(word),
        limit: 10,
        after: None,
    };
    memory.search.find(&query).await.unwrap().len()
}

#[tokio::test]
async fn what_ended_while_it_was_written_does_not_come_back() {
    for is_rebuilt in [false, true] {
        let doomed = Doomed::default();
        let stage = Stage::over(|memory| Overtaken {
            index: memory.search.clone(),
            doomed: Arc::clone(&doomed),
        })
        .await;
        stage.chat().await;
        if is_rebuilt {
            assert_eq!(stage.index().await.completed, 1);
            assert_eq!(indexed(&stage.memory, "hello").await, 1);
        }
        let repository = &stage.memory.repository;
        let application = repository.application_id(&stage.token).await.unwrap();
        *doomed.lock().unwrap() = application.map(|id| (stage.memory.clone(), id));
        if is_rebuilt {
            stage.services.rebuilder.request().await.unwrap();
            assert!(stage.services.rebuilder.run_once(HOLDER).await.unwrap());
        } else {
            stage.index().await;
        }
        assert!(doomed.lock().unwrap().is_none(), "it did not end");
        assert_eq!(indexed(&stage.memory, "hello").await, 0);
    }
}
