//! A deleted message is gone, is no longer counted, and its number is not given again.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    operations::Scene,
    problem::expect_not_found,
    race::{at_once, statuses},
    stage::{CHANGING, Stage, numbers},
};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn a_deleted_message_is_gone_at_once() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let messages = scene.messages();
    stage.create(&messages, &json!({"body": "kept"})).await?;
    stage.delete(&scene.message()).await?;
    for is_restarted in [false, true] {
        scene.expect_gone(&mut stage.client, "{message}").await?;
        assert_eq!(numbers(&stage.read(&messages).await?), [2]);
        assert_eq!(stage.read(&format!("{messages}/2")).await?["body"], "kept");
        if !is_restarted {
            stage.crash().await?;
        }
    }
    stage.expect_count(&scene.chat(), "messages_count", 1).await
}

#[tokio::test]
async fn a_deleted_message_is_counted_out_once() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let chat = messages.trim_end_matches("/messages");
    for _ in 0..5 {
        stage.create(&messages, &json!({"body": "a"})).await?;
    }
    stage.expect_count(chat, "messages_count", 5).await?;
    for number in [2, 5] {
        let message = format!("{messages}/{number}");
        stage.delete(&message).await?;
        for _ in 0..3 {
            expect_not_found(&stage.client.delete(&message).await?)?;
        }
    }
    stage.expect_count(chat, "messages_count", 3).await?;
    // A late second decrement would show in the count after the next create.
    stage.create(&messages, &json!({"body": "a"})).await?;
    stage.expect_count(chat, "messages_count", 4).await
}

#[tokio::test]
async fn messages_deleted_right_after_their_creation_are_not_counted() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=50 {
        let message = stage.create(&messages, &json!({"body": "a"})).await?;
        assert_eq!(message["number"], number);
        let path = format!("{messages}/{number}");
        stage.delete(&path).await?;
        expect_not_found(&stage.client.get(&path).await?)?;
    }
    let page = stage.read(&messages).await?;
    assert_eq!(page, json!({"items": [], "next": null}));
    stage.create(&messages, &json!({"body": "a"})).await?;
    let chat = messages.trim_end_matches("/messages");
    stage.expect_count(chat, "messages_count", 1).await?;
    assert_eq!(numbers(&stage.read(&messages).await?), [51]);
    Ok(())
}

#[tokio::test]
async fn deleting_what_is_not_there_lowers_no_count() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = [
        stage.chat(&application).await?,
        stage.chat(&application).await?,
    ];
    let messages = format!("{}/messages", chats[0]);
    for _ in 0..2 {
        stage.create(&messages, &json!({"body": "a"})).await?;
    }
    stage.expect_count(&chats[0], "messages_count", 2).await?;
    for message in [
        format!("{messages}/3"),
        format!("{messages}/0"),
        format!("{messages}/01"),
        format!("{messages}/18446744073709551615"),
        format!("{}/messages/1", chats[1]),
        format!("{}/3/messages/1", application.chats()),
    ] {
        for _ in 0..3 {
            let answer = stage.client.delete(&message).await?;
            expect_not_found(&answer).context(message.clone())?;
        }
        for way in &CHANGING {
            let call = Call::json(way.clone(), &message, &json!({"body": "a"}))?;
            expect_not_found(&stage.client.send(&call).await?).context(message.clone())?;
        }
    }
    // The failed deletes have not used up a number, either.
    let message = stage.create(&messages, &json!({"body": "a"})).await?;
    assert_eq!(message["number"], 3);
    stage.expect_count(&chats[0], "messages_count", 3).await?;
    stage.expect_count(&chats[1], "messages_count", 0).await
}

#[tokio::test]
async fn a_deleted_messages_number_is_never_given_again() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=4 {
        let message = stage.create(&messages, &json!({"body": "a"})).await?;
        assert_eq!(message["number"], number);
        stage.delete(&format!("{messages}/{number}")).await?;
        if number == 2 {
            stage.crash().await?;
        }
    }
    assert_eq!(numbers(&stage.read(&messages).await?), Vec::<u64>::new());
    Ok(())
}

#[tokio::test]
async fn of_twenty_deletes_at_once_one_deletes() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let chat = messages.trim_end_matches("/messages");
    for _ in 0..6 {
        stage.create(&messages, &json!({"body": "a"})).await?;
    }
    stage.expect_count(chat, "messages_count", 6).await?;
    for number in 1..=5 {
        let call = Call::try_new(Method::DELETE, &format!("{messages}/{number}"))?;
        let answers = at_once(&stage, vec![vec![call]; 20]).await?;
        assert_eq!(statuses(&answers), [(204, 1), (404, 19)].into());
        for answer in answers.iter().filter(|answer| answer.status == 404) {
            expect_not_found(answer)?;
        }
    }
    stage.expect_count(chat, "messages_count", 1).await?;
    assert_eq!(numbers(&stage.read(&messages).await?), [6]);
    Ok(())
}

#[tokio::test]
async fn of_a_change_and_a_delete_at_once_the_delete_lasts() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=10 {
        stage.create(&messages, &json!({"body": "a"})).await?;
        let path = format!("{messages}/{number}");
        let change = Call::json(Method::PATCH, &path, &json!({"body": "late"}))?;
        let mut senders = vec![vec![change; 3]; 5];
        senders.push(vec![Call::try_new(Method::DELETE, &path)?]);
        let answers = at_once(&stage, senders).await?;
        assert_eq!(statuses(&answers).get(&204), Some(&1));
        for answer in answers {
            assert!(matches!(answer.status, 200 | 204 | 404), "{answer}");
        }
        expect_not_found(&stage.client.get(&path).await?)?;
    }
    let chat = messages.trim_end_matches("/messages");
    stage.expect_count(chat, "messages_count", 0).await?;
    assert_eq!(numbers(&stage.read(&messages).await?), Vec::<u64>::new());
    Ok(())
}
