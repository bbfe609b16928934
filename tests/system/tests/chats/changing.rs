//! Changing and clearing a chat's title, which changes nothing else of the chat.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    moment::expect_change,
    problem::{expect_fault, expect_problem},
    stage::{CHANGING, Stage},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_title_is_set_changed_and_cleared_and_nothing_else_moves() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    let messages = format!("{chat}/messages");
    stage.create(&messages, &json!({"body": "a"})).await?;
    stage.expect_count(&chat, "messages_count", 1).await?;
    let mut before = stage.read(&chat).await?;
    for way in &CHANGING {
        for title in [json!("first"), json!("second"), Value::Null] {
            let after = stage.change(way, &chat, &json!({"title": title})).await?;
            expect_change(&before, &after)?;
            before["title"] = title;
            before["updated_at"] = after["updated_at"].clone();
            assert_eq!(after, before);
            assert_eq!(stage.read(&chat).await?, before);
        }
    }
    stage.crash().await?;
    assert_eq!(stage.read(&chat).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_chat_can_be_changed_right_after_its_creation() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    for number in 1..=100 {
        let created = stage.create(&chats, &json!({"title": "a"})).await?;
        let (way, chat) = (&CHANGING[number % 2], format!("{chats}/{number}"));
        let changed = stage.change(way, &chat, &json!({"title": "b"})).await?;
        expect_change(&created, &changed)?;
        assert_eq!(stage.read(&chat).await?, changed);
    }
    // No creation was stored late, over its change.
    let path = &application.path;
    stage.expect_count(path, "chats_count", 100).await?;
    let page = stage.read(&format!("{chats}?limit=1000")).await?;
    let items = page["items"].as_array().context("items")?;
    assert_eq!(items.len(), 100);
    assert!(items.iter().all(|chat| chat["title"] == "b"), "{page}");
    Ok(())
}

#[tokio::test]
async fn changed_titles_are_kept_byte_for_byte() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    let longest = "🦀".repeat(255);
    for way in &CHANGING {
        for title in [" around ", "e\u{301} is not é", "👩‍👩‍👧 𝔘𝔫𝔦", "\u{1}", &longest]
        {
            let changed = stage.change(way, &chat, &json!({"title": title})).await?;
            assert_eq!(changed["title"], title);
            assert_eq!(stage.read(&chat).await?["title"], title);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_change_needs_a_title_and_takes_nothing_else() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let title = json!({"title": "kept"});
    let created = stage.create(&application.chats(), &title).await?;
    let chat = format!("{}/1", application.chats());
    let too_long = "a".repeat(256);
    for way in &CHANGING {
        for body in [
            json!({}),
            json!({"title": ""}),
            json!({"title": " \u{3000}"}),
            json!({"title": too_long}),
            json!({"title": "nul \u{0}"}),
            json!({"title": 5}),
            json!({"title": ["a"]}),
        ] {
            let call = Call::json(way.clone(), &chat, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_fault(&answer, "title").with_context(|| call.to_string())?;
        }
        for field in ["name", "number", "messages_count", "created_at"] {
            let call = Call::json(way.clone(), &chat, &json!({"title": "a", field: 7}))?;
            expect_fault(&stage.client.send(&call).await?, field)?;
        }
        for body in [json!([]), json!(null), json!("x")] {
            let call = Call::json(way.clone(), &chat, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 422, "invalid").with_context(|| call.to_string())?;
        }
        // An empty body may create a chat, but not change one.
        let bare = Call::try_new(way.clone(), &chat)?;
        let empty = bare.clone().with_body("application/json", "");
        let answer = stage.client.send(&empty).await?;
        expect_problem(&answer, 400, "malformed_json")?;
        for call in [
            bare.clone(),
            bare.with_body("text/plain", r#"{"title": "a"}"#),
        ] {
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 415, "unsupported_media_type")?;
        }
    }
    assert_eq!(stage.read(&chat).await?, created);
    Ok(())
}
