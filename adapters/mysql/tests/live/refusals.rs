//! Rows that the server refuses: they are found and set aside, and their neighbours do not wait for that.

use std::time::{Duration, Instant};

use chat_core::{
    memory::Memory,
    model::{ApplicationName, Limit, MessageBody},
    ports::{Consumer, Ports},
    service::{Policy, Services},
};

use crate::{
    fresh::FreshDatabase,
    stage::{open, run},
};

/// How long the refused rows of a batch may delay the others.
const DELAY: Duration = Duration::from_secs(1);

/// How often it is tried, since the machine may be busy with something else.
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_delay_their_batch_by_less_than_a_second() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let repository = open(&database.config).await.ports.repository;
    let mut connection = database.connect().await;
    let refuse = "ALTER TABLE messages ADD CONSTRAINT refused CHECK (body <> 'refused')";
    run(&mut connection, refuse).await;
    let memory = Memory::new();
    let ports = Ports {
        repository: repository.clone(),
        ..memory.ports()
    };
    let services = Services::new(&ports, &Policy::default());
    let name = ApplicationName::parse("an application").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    let chat = services.chats.create(&token, None, None).await.unwrap();
    let chat = chat.item.key.chat;
    let worker = Consumer("worker".to_owned());
    let store = async || {
        let stored = services.persister.run_once(&worker, Duration::ZERO);
        stored.await.unwrap()
    };
    assert_eq!(store().await.done, 1);

    let refused = [3, 160, 161, 320, 499];
    let mut fastest = Duration::MAX;
    for round in 1..=ROUNDS {
        for number in 0..500 {
            let is_refused = refused.contains(&number);
            let body = MessageBody::parse(if is_refused { "refused" } else { "fine" });
            let messages = &services.messages;
            let sent = messages.create(&token, chat, None, body.unwrap(), None);
            sent.await.unwrap();
        }
        let began = Instant::now();
        let stored = store().await;
        fastest = fastest.min(began.elapsed());
        assert_eq!((stored.done, stored.set_aside), (495, 5));
        let most = Limit::try_new(100).unwrap();
        let letters = services.dead_letters.list(None, most).await.unwrap();
        assert_eq!(letters.items.len(), refused.len() * round);
        if fastest < DELAY {
            break;
        }
    }
    assert!(fastest < DELAY, "the others waited for {fastest:?}");
    assert!(repository.count_messages().await.unwrap() >= 495);
}
