//! Changing a message's body, which changes nothing else of the message.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    moment::expect_change,
    paging,
    problem::{expect_fault, expect_problem},
    race::at_once,
    stage::{CHANGING, Stage},
};
use hyper::Method;
use serde_json::{Value, json};

use crate::LONGEST;

#[tokio::test]
async fn a_change_takes_the_body_and_leaves_all_else() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let chat = messages.trim_end_matches("/messages");
    for sender in [json!("ada"), Value::Null] {
        let message = json!({"body": "first", "sender": sender});
        let mut before = stage.create(&messages, &message).await?;
        let path = format!("{messages}/{}", before["number"]);
        for way in &CHANGING {
            let body = format!("changed by {way}");
            let after = stage.change(way, &path, &json!({"body": body})).await?;
            expect_change(&before, &after)?;
            before["body"] = json!(body);
            before["updated_at"] = after["updated_at"].clone();
            assert_eq!(after, before);
            assert_eq!(stage.read(&path).await?, before);
        }
    }
    let listed = paging::items(&mut stage.client, &messages).await?;
    assert_eq!(listed[0]["body"], "changed by PUT");
    stage.crash().await?;
    assert_eq!(paging::items(&mut stage.client, &messages).await?, listed);
    // A change is not counted as a creation.
    stage.expect_count(chat, "messages_count", 2).await
}

#[tokio::test]
async fn a_message_can_be_changed_right_after_its_creation() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=100 {
        let created = stage.create(&messages, &json!({"body": "a"})).await?;
        let (way, path) = (&CHANGING[number % 2], format!("{messages}/{number}"));
        let changed = stage.change(way, &path, &json!({"body": "b"})).await?;
        expect_change(&created, &changed)?;
        assert_eq!(stage.read(&path).await?, changed);
    }
    // No creation was stored late, over its change.
    let chat = messages.trim_end_matches("/messages");
    stage.expect_count(chat, "messages_count", 100).await?;
    let listed = paging::items(&mut stage.client, &messages).await?;
    assert_eq!(listed.len(), 100);
    for message in listed {
        assert_eq!(message["body"], "b", "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn changed_bodies_are_kept_byte_for_byte() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    stage.create(&messages, &json!({"body": "a"})).await?;
    let path = format!("{messages}/1");
    let longest = ["🦀".repeat(LONGEST / 4), "\u{1}".repeat(LONGEST)];
    for way in &CHANGING {
        for body in [
            "👍 thumbs up",
            "👩🏽‍🚀👨‍👩‍👧‍👦 𝔘𝔫𝔦",
            "e\u{301} is not é",
            "\r\n kept \t as typed \u{feff}\u{202e}",
            &longest[0],
            &longest[1],
        ] {
            let changed = stage.change(way, &path, &json!({"body": body})).await?;
            assert_eq!(changed["body"], body);
            assert_eq!(stage.read(&path).await?["body"], body);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_change_needs_a_body_and_takes_nothing_else() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    let message = json!({"body": "kept", "sender": "ada"});
    let created = stage.create(&messages, &message).await?;
    let path = format!("{messages}/1");
    let (too_long, four_bytes) = ("a".repeat(LONGEST + 1), "🦀".repeat(LONGEST / 4 + 1));
    for way in &CHANGING {
        for body in [
            json!({}),
            json!({"body": null}),
            json!({"body": ""}),
            json!({"body": " \n\u{2003}"}),
            json!({"body": too_long}),
            json!({"body": four_bytes}),
            json!({"body": "nul \u{0}"}),
            json!({"body": 5}),
            json!({"body": {"text": "a"}}),
        ] {
            let call = Call::json(way.clone(), &path, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_fault(&answer, "body").with_context(|| call.to_string())?;
        }
        for (field, value) in [
            ("sender", json!("ada")),
            ("sender", json!(null)),
            ("number", json!(1)),
            ("title", json!("a")),
        ] {
            let call = Call::json(way.clone(), &path, &json!({"body": "a", field: value}))?;
            let answer = stage.client.send(&call).await?;
            expect_fault(&answer, field).with_context(|| call.to_string())?;
        }
        for body in [json!([]), json!(null), json!("x")] {
            let call = Call::json(way.clone(), &path, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 422, "invalid").with_context(|| call.to_string())?;
        }
        let bare = Call::try_new(way.clone(), &path)?;
        let empty = bare.clone().with_body("application/json", "");
        let answer = stage.client.send(&empty).await?;
        expect_problem(&answer, 400, "malformed_json")?;
        for call in [
            bare.clone(),
            bare.with_body("text/plain", r#"{"body": "a"}"#),
        ] {
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 415, "unsupported_media_type")?;
        }
    }
    assert_eq!(stage.read(&path).await?, created);
    Ok(())
}

#[tokio::test]
async fn of_changes_at_once_one_is_the_last() -> Result<()> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    stage.create(&messages, &json!({"body": "a"})).await?;
    let path = format!("{messages}/1");
    let mut senders = Vec::new();
    for sender in 0..20 {
        let body = json!({"body": format!("of sender {sender}")});
        senders.push(vec![Call::json(Method::PATCH, &path, &body)?; 5]);
    }
    let mut answered = Vec::new();
    for answer in at_once(&stage, senders).await? {
        answered.push(answer.expect(200)?);
    }
    let last = stage.read(&path).await?;
    assert!(answered.contains(&last), "nobody was answered {last}");
    Ok(())
}
