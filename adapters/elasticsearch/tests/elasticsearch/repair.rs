//! Repair: the core's services restore an index that was lost.

use std::{sync::Arc, time::Duration};

use chat_core::{
    memory::Memory,
    model::{ApplicationName, ApplicationToken, ChatNumber, Limit, MessageBody, SearchText},
    ports::{Consumer, Ports, SearchIndex as _},
    service::{Hit, Policy, Services},
};

use crate::{fresh::FreshIndex, shelf::ask};

const HOLDER: &str = "test";

/// A system with a chat, in memory but for its search index.
struct System {
    services: Services,
    token: ApplicationToken,
    chat: ChatNumber,
    _memory: Memory,
}

impl System {
    async fn over(fresh: &FreshIndex) -> Self {
        let memory = Memory::new();
        let ports = Ports {
            search: fresh.open(),
            ..memory.ports()
        };
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("repair").unwrap();
        let token = services.applications.create(name).await.unwrap().token;
        let chat = services.chats.create(&token, None, None).await.unwrap();
        let chat = chat.item.key.chat;
        let system = Self {
            services,
            token,
            chat,
            _memory: memory,
        };
        system.rebuild().await;
        system
    }

    async fn rebuild(&self) -> bool {
        self.services.rebuilder.run_once(HOLDER).await.unwrap()
    }

    async fn send(&self, body: &str) {
        let body = MessageBody::parse(body).unwrap();
        let messages = &self.services.messages;
        messages
            .create(&self.token, self.chat, None, body, None)
            .await
            .unwrap();
        let worker = Consumer("worker".to_owned());
        let store = || self.services.persister.run_once(&worker, Duration::ZERO);
        while store().await.unwrap().received > 0 {}
    }

    async fn index(&self) -> Result<(), chat_core::PortError> {
        while self.services.indexer.run_once(HOLDER).await?.rows > 0 {}
        Ok(())
    }

    async fn found(&self, text: &str) -> Vec<u64> {
        let text = SearchText::parse(text).unwrap();
        let search = &self.services.search;
        let limit = Limit::try_new(100).unwrap();
        let page = search
            .in_chat(&self.token, self.chat, &text, None, limit)
            .await
            .unwrap();
        let mut numbers: Vec<u64> = page
            .items
            .iter()
            .map(|hit: &Hit| hit.message.key.message.get())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

#[tokio::test]
async fn an_index_that_was_deleted_is_built_anew() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let system = System::over(&fresh).await;
    for body in ["first word", "second word"] {
        system.send(body).await;
    }
    system.index().await.unwrap();
    assert_eq!(system.found("word").await, [1, 2]);
    assert!(!system.rebuild().await, "nothing is lost yet");

    ask(
        &fresh.config.url,
        "DELETE",
        &format!("{}index-*", fresh.config.prefix),
        "",
    );
    system.send("third word").await;
    assert!(
        system.index().await.is_err(),
        "it went nowhere, and was taken for done"
    );
    assert!(system.rebuild().await);
    system.index().await.unwrap();
    assert_eq!(system.found("word").await, [1, 2, 3]);
}

#[tokio::test]
async fn an_index_that_is_not_ours_stops_the_rebuild_and_nothing_else() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let foreign = format!("{}index-1", fresh.config.prefix);
    ask(&fresh.config.url, "PUT", &foreign, "{}");
    let memory = Memory::new();
    let search = fresh.open();
    let ports = Ports {
        search: Arc::clone(&search) as Arc<dyn chat_core::ports::SearchIndex>,
        ..memory.ports()
    };
    let services = Services::new(&ports, &Policy::default());
    assert!(services.rebuilder.run_once(HOLDER).await.is_err());
    assert!(search.generations().await.unwrap().is_empty());
    let left = ask(
        &fresh.config.url,
        "GET",
        &format!("_cat/indices/{foreign}?h=index"),
        "",
    );
    assert_eq!(left.trim(), foreign);
    let name = ApplicationName::parse("unharmed").unwrap();
    services.applications.create(name).await.unwrap();
}
