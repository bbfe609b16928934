//! Pages of search: of a blank text, of one without words, of deleted messages, of large ones, and of a database
//! that fails.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chat_core::{
    PortError, PortErrorKind,
    memory::Memory,
    model::{
        ApplicationId, ApplicationName, ApplicationToken, ChatNumber, Limit, MessageBody,
        MessageKey, MessageNumber, SearchText, Timestamp,
    },
    ports::{Consumer, MockRepository, MockSearchIndex, Ports, SearchHit},
    service::{Policy, SearchPlace, ServiceError, Services},
};

/// A system with two chats of so many messages each, all of them stored.
async fn filled(messages: usize) -> (Services, ApplicationToken, [ChatNumber; 2]) {
    let services = Services::new(&Memory::new().ports(), &Policy::default());
    let name = ApplicationName::parse("search").expect("a name");
    let create = |name| services.applications.create(name);
    let token = create(name).await.expect("an application").token;
    let mut chats = Vec::new();
    for _ in 0..2 {
        let chat = services.chats.create(&token, None, None).await;
        let number = chat.expect("a chat").item.key.chat;
        for _ in 0..messages {
            let body = MessageBody::parse("a").expect("a body");
            let create = services.messages.create(&token, number, None, body, None);
            create.await.expect("a message");
        }
        chats.push(number);
    }
    let worker = Consumer("worker".to_owned());
    let store = || services.persister.run_once(&worker, Duration::ZERO);
    while store().await.expect("a round").received > 0 {}
    (services, token, [chats[0], chats[1]])
}

fn text(text: &str) -> SearchText {
    SearchText::parse(text).expect("a text")
}

fn number(number: u64) -> MessageNumber {
    MessageNumber::try_new(number).expect("a number")
}

#[tokio::test]
async fn a_blank_text_finds_every_message_of_the_chat_by_number() {
    let (services, token, [chat, _]) = filled(7).await;
    services
        .messages
        .delete(&token, chat, number(3))
        .await
        .unwrap();
    for blank in ["", " \t\u{3000}"] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let limit = Limit::try_new(2).unwrap();
            let page = services
                .search
                .in_chat(&token, chat, &text(blank), after, limit)
                .await
                .unwrap();
            for hit in &page.items {
                assert_eq!((hit.score, &hit.highlight), (0, &None));
                found.push(hit.message.key.message.get());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [1, 2, 4, 5, 6, 7]);
    }
}

#[tokio::test]
async fn a_blank_text_finds_every_message_of_the_system() {
    let (services, token, chats) = filled(3).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let limit = Limit::try_new(4).unwrap();
        let page = services
            .search
            .across_system(&SearchText::default(), after, limit)
            .await
            .unwrap();
        for hit in page.items {
            assert_eq!(hit.token, token);
            let key = hit.item.message.key;
            found.push((key.chat, key.message));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let wanted = chats.map(|chat| [1, 2, 3].map(|it| (chat, number(it))));
    assert_eq!(found, wanted.as_flattened());
}

#[tokio::test]
async fn a_page_of_hits_has_at_most_a_hundred() {
    let (services, token, [chat, _]) = filled(101).await;
    let limit = Limit::try_new(1_000).unwrap();
    let everything = SearchText::default();
    let page = services
        .search
        .in_chat(&token, chat, &everything, None, limit)
        .await
        .unwrap();
    let last = SearchPlace {
        rank: None,
        at: number(100),
    };
    assert_eq!((page.items.len(), page.next), (100, Some(last)));
    let page = services
        .search
        .across_system(&everything, None, limit)
        .await
        .unwrap();
    assert_eq!(page.items.len(), 100);
}

#[tokio::test]
async fn a_text_without_a_word_finds_nothing_in_a_chat_that_is_there() {
    let (services, token, [chat, _]) = filled(1).await;
    let limit = Limit::default();
    let page = services
        .search
        .in_chat(&token, chat, &text("***"), None, limit)
        .await
        .unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    let unknown = ChatNumber::try_new(9).unwrap();
    for asked in ["", "***", "word"] {
        let found = services
            .search
            .in_chat(&token, unknown, &text(asked), None, limit)
            .await;
        assert!(matches!(found, Err(ServiceError::NotFound)), "{asked:?}");
    }
}

#[tokio::test]
async fn pages_of_a_deleted_application_are_passed_over() {
    let (services, kept, _) = filled(1).await;
    services.rebuilder.run_once("test").await.unwrap();
    let name = ApplicationName::parse("newer").unwrap();
    let doomed = services.applications.create(name).await.unwrap().token;
    let chat = services.chats.create(&doomed, None, None).await.unwrap();
    for _ in 0..25 {
        let body = MessageBody::parse("a").unwrap();
        let chat = chat.item.key.chat;
        let create = services.messages.create(&doomed, chat, None, body, None);
        create.await.unwrap();
    }
    let worker = Consumer("worker".to_owned());
    services
        .persister
        .run_once(&worker, Duration::ZERO)
        .await
        .unwrap();
    services.indexer.run_once("test").await.unwrap();
    services.applications.delete(&doomed).await.unwrap();

    let asked = text("a");
    let search = |after, limit| {
        let limit = Limit::try_new(limit).unwrap();
        services.search.across_system(&asked, after, limit)
    };
    // Pages of nothing but deleted messages are passed over, up to those of the older application.
    let page = search(None, 10).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, None));
    assert!(page.items.iter().all(|hit| hit.token == kept));
    // More such pages than are passed over mean that the index is far behind, which is an error: an
    // empty page would say that there is nothing.
    let far = search(None, 1).await;
    assert!(matches!(far, Err(ServiceError::Port(_))), "{far:?}");
}

#[tokio::test]
async fn a_page_of_large_hits_is_cut_short() {
    let (services, token, [chat, _]) = filled(0).await;
    services.rebuilder.run_once("test").await.unwrap();
    let body = format!("needle {}", "x".repeat(32_000));
    for _ in 0..40 {
        let body = MessageBody::parse(&body).unwrap();
        let create = services.messages.create(&token, chat, None, body, None);
        create.await.unwrap();
    }
    let worker = Consumer("worker".to_owned());
    services
        .persister
        .run_once(&worker, Duration::ZERO)
        .await
        .unwrap();
    services.indexer.run_once("test").await.unwrap();
    let (mut pages, mut found, mut after) = (0, BTreeSet::new(), None);
    loop {
        let limit = Limit::try_new(100).unwrap();
        let asked = text("needle");
        let search = services.search.in_chat(&token, chat, &asked, after, limit);
        let page = search.await.unwrap();
        pages += 1;
        found.extend(page.items.iter().map(|hit| hit.message.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, found.len()), (2, 40));
}

/// A repository that knows the application, and cannot read messages.
fn repository_that_fails(application: ApplicationId) -> MockRepository {
    let mut repository = MockRepository::new();
    let known = move |_: &ApplicationToken| Ok(Some(application));
    repository.expect_application_id().returning(known);
    repository
        .expect_messages_by_key()
        .times(1)
        .returning(|_| Err(PortError::new(PortErrorKind::Unavailable, "mock", "read")));
    repository
}

#[tokio::test]
async fn a_database_that_cannot_read_the_hits_is_asked_for_nothing_else() {
    let key = MessageKey {
        application: ApplicationId::new(1),
        chat: ChatNumber::try_new(1).unwrap(),
        message: number(1),
    };
    let mut index = MockSearchIndex::new();
    let hit = SearchHit {
        key,
        score: 1,
        created_at: Timestamp::from_micros(1),
    };
    index
        .expect_find()
        .times(1)
        .returning(move |_| Ok(vec![hit.clone()]));
    let ports = Ports {
        repository: Arc::new(repository_that_fails(key.application)),
        search: Arc::new(index),
        ..Memory::new().ports()
    };
    let services = Services::new(&ports, &Policy::default());
    let token = ApplicationToken::parse(&"t".repeat(32)).unwrap();
    let (asked, limit) = (text("a"), Limit::default());
    let search = services
        .search
        .in_chat(&token, key.chat, &asked, None, limit);
    // Asking for the chat as well would panic, since the mock plans no answer.
    let found = search.await;
    assert!(matches!(found, Err(ServiceError::Port(_))), "{found:?}");
}
