//! Repeating a create with its idempotency key answers the message as it was created.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    problem::{expect_fault, expect_not_found, expect_problem},
    stage::{Stage, numbers},
};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn a_key_answers_the_same_message_again() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let longest = "~".repeat(255);
    for key in ["order-7", "!", longest.as_str()] {
        let call = Call::post(&messages, &json!({"body": "once", "sender": "ada"}))?;
        let call = call.with_key(key)?;
        let first = stage.client.send(&call).await?;
        assert_eq!(first.header("idempotency-replayed"), None);
        let message = first.expect(201)?;
        for _ in 0..2 {
            let again = stage.client.send(&call).await?;
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(again.expect(201)?, message);
        }
    }
    assert_eq!(numbers(&stage.read(&messages).await?), [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_key_is_good_for_one_request_of_one_application() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (one, other) = (stage.application().await?, stage.application().await?);
    let chats = [
        stage.chat(&one).await?,
        stage.chat(&one).await?,
        stage.chat(&other).await?,
    ];
    let call = |chat: &String, body: &str| {
        Call::post(&format!("{chat}/messages"), &json!({"body": body}))?.with_key("once")
    };
    stage
        .client
        .send(&call(&chats[0], "a")?)
        .await?
        .expect(201)?;
    for call in [call(&chats[0], "b")?, call(&chats[1], "a")?] {
        let answer = stage.client.send(&call).await?;
        expect_problem(&answer, 422, "idempotency_key_reused")?;
    }
    let message = stage
        .client
        .send(&call(&chats[2], "a")?)
        .await?
        .expect(201)?;
    assert_eq!(message["number"], 1);
    for chat in [&chats[0], &chats[1]] {
        let messages = format!("{chat}/messages");
        let wanted = u64::from(chat == &chats[0]) + 1;
        let message = stage.create(&messages, &json!({"body": "next"})).await?;
        assert_eq!(message["number"], wanted);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_create_does_not_use_its_key_up() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let refused = Call::post(&messages, &json!({"body": ""}))?.with_key("again")?;
    expect_fault(&stage.client.send(&refused).await?, "body")?;
    let call = Call::post(&messages, &json!({"body": "a"}))?.with_key("again")?;
    let answer = stage.client.send(&call).await?;
    assert_eq!(answer.expect(201)?["number"], 1);
    assert_eq!(answer.header("idempotency-replayed"), None);
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_named() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let too_long = "x".repeat(256);
    let keys: [&[u8]; 5] = [
        b"",
        b"two words",
        "é".as_bytes(),
        b"\xff",
        too_long.as_bytes(),
    ];
    for key in keys {
        let call = Call::post(&messages, &json!({"body": "a"}))?.with_key(key)?;
        expect_fault(&stage.client.send(&call).await?, "idempotency-key")
            .with_context(|| String::from_utf8_lossy(key).into_owned())?;
    }
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn numbers_and_keys_outlive_a_restart() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let call = Call::post(&messages, &json!({"body": "once"}))?.with_key("once")?;
    let message = stage.client.send(&call).await?.expect(201)?;
    stage.crash().await?;
    let again = stage.client.send(&call).await?;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201)?, message);
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_key_answers_the_message_as_it_was_created_whatever_became_of_it() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let (chat, message) = (
        messages.trim_end_matches("/messages"),
        format!("{messages}/1"),
    );
    let call = Call::post(&messages, &json!({"body": "first", "sender": "ada"}))?;
    let call = call.with_key("once")?;
    let created = stage.client.send(&call).await?.expect(201)?;
    for became in [
        "kept",
        "changed",
        "deleted",
        "without its chat",
        "restarted",
    ] {
        match became {
            "changed" => {
                let body = json!({"body": "second"});
                stage.change(&Method::PUT, &message, &body).await?;
            }
            "deleted" => stage.delete(&message).await?,
            "without its chat" => stage.delete(chat).await?,
            "restarted" => {
                stage.crash().await?;
            }
            _ => {}
        }
        let again = stage.client.send(&call).await?;
        assert_eq!(again.expect(201)?, created, "{became}");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.header("location"), Some(message.as_str()));
    }
    // Another key asks for another message, and the chat is gone.
    let fresh = call.with_key("another")?;
    expect_not_found(&stage.client.send(&fresh).await?)
}

#[tokio::test]
async fn a_create_that_finds_nothing_does_not_use_its_key_up() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let messages = format!("{}/1/messages", application.chats());
    let call = Call::post(&messages, &json!({"body": "early"}))?.with_key("once")?;
    expect_not_found(&stage.client.send(&call).await?)?;
    stage.chat(&application).await?;
    let answer = stage.client.send(&call).await?;
    assert_eq!(answer.expect(201)?["number"], 1);
    assert_eq!(answer.header("idempotency-replayed"), None);
    Ok(())
}
