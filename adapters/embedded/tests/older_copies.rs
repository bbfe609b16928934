//! An older copy in the place of the database: search finds what the copy holds, and nothing newer.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

use std::{fs, path::Path};

use chat_adapter_embedded::{Embedded, EmbeddedConfig};
use chat_core::{
    memory::Memory,
    model::{
        ApplicationName, ApplicationToken, ChatNumber, Limit, MessageBody, MessageNumber,
        SearchText,
    },
    ports::Ports,
    service::{Policy, Services},
};
use tempfile::TempDir;

/// A system on a folder, opened and closed.
struct System {
    embedded: Embedded,
    services: Services,
}

impl System {
    async fn open(folder: &Path) -> Self {
        let memory = Memory::new();
        let config = EmbeddedConfig::new(folder);
        let embedded = Embedded::open(&config, memory.clock.clone()).await.unwrap();
        let ports = Ports {
            counter: embedded.counter.clone(),
            queue: embedded.queue.clone(),
            repository: embedded.repository.clone(),
            search: embedded.search.clone(),
            ..memory.ports()
        };
        let services = Services::new(&ports, &Policy::default());
        Self { embedded, services }
    }

    /// Does the background work that is due, and closes the folder.
    async fn close(self) {
        self.index().await;
        let Self { embedded, services } = self;
        drop(services);
        embedded.close().await;
    }

    async fn index(&self) {
        while self.services.rebuilder.run_once("a test").await.unwrap() {}
        while self.services.indexer.run_once("a test").await.unwrap().rows > 0 {}
    }

    async fn update(&self, token: &ApplicationToken, chat: ChatNumber, of: u64, body: &str) {
        let number = MessageNumber::try_new(of).unwrap();
        let body = MessageBody::parse(body).unwrap();
        let update = self.services.messages.update(token, chat, number, &body);
        update.await.unwrap();
    }

    async fn found(&self, token: &ApplicationToken, chat: ChatNumber, text: &str) -> Vec<u64> {
        let text = SearchText::parse(text).unwrap();
        let search = &self.services.search;
        let page = search.in_chat(token, chat, &text, None, Limit::default());
        let hits = page.await.unwrap().items;
        hits.iter()
            .map(|hit| hit.message.key.message.get())
            .collect()
    }
}

#[tokio::test]
async fn search_follows_an_older_copy() {
    let folder = TempDir::new().unwrap();
    let (file, copy) = (folder.path().join("chat.db"), folder.path().join("copy"));
    let system = System::open(folder.path()).await;
    let name = ApplicationName::parse("an application").unwrap();
    let token = system
        .services
        .applications
        .create(name)
        .await
        .unwrap()
        .token;
    let chat = system
        .services
        .chats
        .create(&token, None, None)
        .await
        .unwrap();
    let chat = chat.item.key.chat;
    for body in ["early", "doomed"] {
        let body = MessageBody::parse(body).unwrap();
        let create = system
            .services
            .messages
            .create(&token, chat, None, body, None);
        create.await.unwrap();
    }
    system.close().await;
    fs::copy(&file, &copy).unwrap();

    // Twice, since the second time the index knows what was written after the first.
    for _ in 0..2 {
        let system = System::open(folder.path()).await;
        system.index().await;
        for body in ["late", "later"] {
            system.update(&token, chat, 1, body).await;
        }
        let doomed = MessageNumber::try_new(2).unwrap();
        system
            .services
            .messages
            .delete(&token, chat, doomed)
            .await
            .unwrap();
        system.close().await;
        fs::copy(&copy, &file).unwrap();

        let system = System::open(folder.path()).await;
        system.index().await;
        assert_eq!(system.found(&token, chat, "early").await, [1]);
        assert_eq!(system.found(&token, chat, "doomed").await, [2]);
        assert_eq!(system.found(&token, chat, "later").await, [] as [u64; 0]);
        system.update(&token, chat, 1, "new").await;
        system.index().await;
        assert_eq!(system.found(&token, chat, "new").await, [1]);
        system.close().await;
        fs::copy(&copy, &file).unwrap();
    }
}
