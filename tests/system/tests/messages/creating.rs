//! A message is created, numbered and kept byte for byte.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    problem::{expect_fault, expect_not_found, expect_problem},
    race::at_once,
    stage::{Stage, fields, item_numbers},
    wire::{Wire, chunked, request},
};
use hyper::Method;
use serde_json::{Value, json};

use crate::LONGEST;

#[tokio::test]
async fn a_created_message_has_a_number_and_a_location() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=3 {
        let body = format!("line {number}");
        let answer = stage
            .client
            .post(&messages, &json!({"body": body, "sender": "ada"}))
            .await?;
        let message = answer.expect(201)?;
        let wanted = ["body", "created_at", "number", "sender", "updated_at"];
        assert_eq!(fields(&message), wanted);
        assert_eq!(message["number"], number);
        assert_eq!(message["body"], body);
        assert_eq!(message["sender"], "ada");
        let path = format!("{messages}/{number}");
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_eq!(stage.read(&path).await?, message);
    }
    Ok(())
}

#[tokio::test]
async fn an_absent_or_null_sender_is_answered_as_null() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for body in [json!({"body": "a"}), json!({"body": "a", "sender": null})] {
        let message = stage.create(&messages, &body).await?;
        assert_eq!(message["sender"], Value::Null);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_taken_and_read_right_after_its_chat() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..200 {
        let messages = format!("{}/messages", stage.chat(&application).await?);
        let message = stage.create(&messages, &json!({"body": "first"})).await?;
        assert_eq!(message["number"], 1);
        assert_eq!(stage.read(&format!("{messages}/1")).await?, message);
        assert_eq!(stage.read(&messages).await?["items"], json!([message]));
    }
    Ok(())
}

#[tokio::test]
async fn text_is_kept_byte_for_byte() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let longest = [
        "🦀".repeat(LONGEST / 4),
        "a".repeat(LONGEST),
        "\u{1}".repeat(LONGEST),
    ];
    let bodies = [
        "👍 thumbs up",
        "👩🏽‍🚀👨‍👩‍👧‍👦",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𝒳",
        "e\u{301} is not é",
        "שלום مرحبا 你好 ไทย",
        "\r\n kept \t as typed \u{feff}\u{202e}",
        "</script>\"\\'; DROP TABLE messages; --",
        &longest[0],
        &longest[1],
        &longest[2],
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let sender = "🙂".repeat(255);
        let message = json!({"body": body, "sender": sender});
        let created = stage.create(&messages, &message).await?;
        assert_eq!(created["number"], index + 1);
        assert_eq!(created["body"], body);
        let read = stage.read(&format!("{messages}/{}", index + 1)).await?;
        assert_eq!(read["body"], body);
        assert_eq!(read["sender"], sender);
    }
    let page = stage.read(&messages).await?;
    let items = page["items"].as_array().context("items")?;
    let listed: Vec<&str> = items
        .iter()
        .filter_map(|item| item["body"].as_str())
        .collect();
    assert_eq!(listed, bodies);
    Ok(())
}

#[tokio::test]
async fn a_refused_message_burns_no_number() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let (too_long, four_bytes) = ("a".repeat(LONGEST + 1), "🦀".repeat(LONGEST / 4 + 1));
    for body in [
        json!(""),
        json!(" \n\u{2003}"),
        json!(too_long),
        json!(four_bytes),
        json!("nul \u{0}"),
        json!(null),
        json!(5),
        json!({"text": "a"}),
    ] {
        let answer = stage.client.post(&messages, &json!({"body": body})).await?;
        expect_fault(&answer, "body").with_context(|| body.to_string())?;
    }
    expect_fault(&stage.client.post(&messages, &json!({})).await?, "body")?;
    let too_long = "a".repeat(256);
    for sender in [
        json!(""),
        json!(" "),
        json!(too_long),
        json!("\u{0}"),
        json!(5),
    ] {
        let message = json!({"body": "a", "sender": sender});
        expect_fault(&stage.client.post(&messages, &message).await?, "sender")?;
    }
    let message = json!({"body": "a", "number": 7});
    expect_fault(&stage.client.post(&messages, &message).await?, "number")?;

    let bare = Call::try_new(Method::POST, &messages)?;
    for malformed in [r#"{"body": "a""#, "", r#"{"body": "\ud83d"}"#] {
        let call = bare.clone().with_body("application/json", malformed);
        expect_problem(&stage.client.send(&call).await?, 400, "malformed_json")?;
    }
    let text = bare.with_body("text/plain", r#"{"body": "a"}"#);
    expect_problem(
        &stage.client.send(&text).await?,
        415,
        "unsupported_media_type",
    )?;
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_and_without_a_length() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let body = format!(r#"{{"body": "{}"}}"#, "a".repeat(257 * 1024));
    let json = "content-type: application/json\r\n";
    for bytes in [
        request("POST", &messages, json, body.as_bytes()),
        chunked("POST", &messages, json, body.as_bytes(), 16 * 1024),
        chunked("POST", &messages, json, body.as_bytes(), body.len()),
    ] {
        let mut wire = Wire::open(stage.one_api()).await?;
        expect_problem(&wire.exchange(&bytes).await?, 413, "too_large")?;
        wire.expect_good_order().await?;
    }
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn five_hundred_at_once_get_each_number_once() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let mut senders = Vec::new();
    for sender in 0..50 {
        let calls = (0..10).map(|line| {
            let body = format!("line {line} of sender {sender}");
            Call::post(&messages, &json!({"body": body}))
        });
        senders.push(calls.collect::<Result<Vec<Call>>>()?);
    }
    let mut sent = Vec::new();
    for answer in at_once(&stage, senders).await? {
        sent.push(answer.expect(201)?);
    }
    sent.sort_unstable_by_key(|message| message["number"].as_u64());
    assert_eq!(item_numbers(&sent), (1..=500).collect::<Vec<u64>>());
    let bodies: BTreeSet<&str> = sent.iter().filter_map(|one| one["body"].as_str()).collect();
    assert_eq!(bodies.len(), 500);
    let page = stage.read(&format!("{messages}?limit=1000")).await?;
    assert_eq!(page["items"], json!(sent));
    let chat = messages.trim_end_matches("/messages");
    stage.expect_count(chat, "messages_count", 500).await
}

#[tokio::test]
async fn messages_are_counted() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let chat = messages.trim_end_matches("/messages");
    assert_eq!(stage.read(chat).await?["messages_count"], 0);
    for body in ["one", "two"] {
        stage.create(&messages, &json!({"body": body})).await?;
    }
    stage.expect_count(chat, "messages_count", 2).await
}

#[tokio::test]
async fn chats_and_applications_keep_their_messages_apart() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (one, other) = (stage.application().await?, stage.application().await?);
    let chats = [
        stage.chat(&one).await?,
        stage.chat(&one).await?,
        stage.chat(&other).await?,
    ];
    for chat in &chats {
        let message = stage
            .create(&format!("{chat}/messages"), &json!({"body": chat}))
            .await?;
        assert_eq!(message["number"], 1);
    }
    stage
        .create(
            &format!("{}/messages", chats[0]),
            &json!({"body": "second"}),
        )
        .await?;
    for chat in &chats {
        let read = stage.read(&format!("{chat}/messages/1")).await?;
        assert_eq!(read["body"], *chat);
    }
    for path in [
        format!("{}/messages/2", chats[1]),
        format!("{}/2/messages", other.chats()),
    ] {
        expect_not_found(&stage.client.get(&path).await?).context(path)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_number_that_is_no_plain_positive_integer_is_not_found() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    stage
        .create(&format!("{chat}/messages"), &json!({"body": "a"}))
        .await?;
    for number in ["2", "0", "-1", "01", "+1", "abc", "18446744073709551616"] {
        let message = stage
            .client
            .get(&format!("{chat}/messages/{number}"))
            .await?;
        expect_not_found(&message).context(number)?;
        let messages = format!("{}/{number}/messages", application.chats());
        expect_not_found(&stage.client.get(&messages).await?).context(number)?;
        let answer = stage.client.post(&messages, &json!({"body": "a"})).await?;
        expect_not_found(&answer).context(number)?;
        // The body is judged before the path.
        expect_fault(
            &stage.client.post(&messages, &json!({"body": ""})).await?,
            "body",
        )?;
    }
    Ok(())
}
