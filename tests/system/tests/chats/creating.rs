//! A chat is created, with or without a title, and numbered.

use anyhow::{Context as _, Result};
use chat_system::{
    client::{Answer, Call},
    problem::{expect_fault, expect_not_found, expect_problem},
    race::at_once,
    stage::{Stage, fields, numbers},
};
use hyper::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_created_chat_has_a_number_and_a_location() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for number in 1..=3 {
        let title = format!("room {number}");
        let answer = stage
            .client
            .post(&application.chats(), &json!({"title": title}))
            .await?;
        let chat = answer.expect(201)?;
        let wanted = [
            "created_at",
            "messages_count",
            "number",
            "title",
            "updated_at",
        ];
        assert_eq!(fields(&chat), wanted);
        assert_eq!(chat["number"], number);
        assert_eq!(chat["title"], title);
        assert_eq!(chat["messages_count"], 0);
        let path = format!("{}/{number}", application.chats());
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_eq!(stage.read(&path).await?, chat);
    }
    Ok(())
}

#[tokio::test]
async fn a_chat_needs_no_body_and_no_title() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let bare = Call::try_new(Method::POST, &application.chats())?;
    for call in [
        bare.clone(),
        bare.clone().with_body("text/plain", ""),
        bare.clone().with_body("application/json", ""),
        bare.clone().with_body("application/json", "{}"),
        bare.clone()
            .with_body("application/json", r#"{"title": null}"#),
    ] {
        let chat = stage.client.send(&call).await?.expect(201)?;
        assert_eq!(chat["title"], Value::Null);
    }
    Ok(())
}

#[tokio::test]
async fn titles_are_kept_byte_for_byte() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let longest = "🦀".repeat(255);
    for title in [" around ", "e\u{301} is not é", "👩‍👩‍👧 𝔘𝔫𝔦", &longest] {
        let chat = stage
            .create(&application.chats(), &json!({"title": title}))
            .await?;
        let path = format!("{}/{}", application.chats(), chat["number"]);
        assert_eq!(stage.read(&path).await?["title"], title);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_chat_burns_no_number() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    let too_long = "a".repeat(256);
    for title in [
        json!(""),
        json!("  "),
        json!(too_long),
        json!("\u{0}"),
        json!(5),
        json!([]),
    ] {
        let answer = stage.client.post(&chats, &json!({"title": title})).await?;
        expect_fault(&answer, "title").with_context(|| title.to_string())?;
    }
    expect_fault(
        &stage.client.post(&chats, &json!({"name": "a"})).await?,
        "name",
    )?;
    for body in [json!([]), json!(null), json!("x")] {
        let answer = stage.client.post(&chats, &body).await?;
        expect_problem(&answer, 422, "invalid").with_context(|| body.to_string())?;
    }
    let bare = Call::try_new(Method::POST, &chats)?;
    let malformed = bare.clone().with_body("application/json", r#"{"title": "#);
    expect_problem(&stage.client.send(&malformed).await?, 400, "malformed_json")?;
    let text = bare.clone().with_body("text/plain", "{}");
    expect_problem(
        &stage.client.send(&text).await?,
        415,
        "unsupported_media_type",
    )?;
    let huge = bare.with_body("application/json", vec![b' '; 257 * 1024]);
    expect_problem(&stage.client.send(&huge).await?, 413, "too_large")?;
    assert_eq!(stage.create(&chats, &json!({})).await?["number"], 1);
    Ok(())
}

#[tokio::test]
async fn five_hundred_at_once_get_each_number_once() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let call = Call::post(&application.chats(), &json!({}))?;
    let answers = at_once(&stage, vec![vec![call; 10]; 50]).await?;
    let mut given = Vec::new();
    for answer in answers {
        let chat = answer.expect(201)?;
        given.push(chat["number"].as_u64().context("a number")?);
    }
    given.sort_unstable();
    assert_eq!(given, (1..=500).collect::<Vec<u64>>());
    let page = stage
        .read(&format!("{}?limit=1000", application.chats()))
        .await?;
    assert_eq!(numbers(&page), given);
    stage
        .expect_count(&application.path, "chats_count", 500)
        .await
}

#[tokio::test]
async fn applications_number_and_keep_their_chats_apart() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (one, other) = (stage.application().await?, stage.application().await?);
    for number in 1..=2 {
        let chat = stage.create(&one.chats(), &json!({"title": "one"})).await?;
        assert_eq!(chat["number"], number);
    }
    let chat = stage
        .create(&other.chats(), &json!({"title": "other"}))
        .await?;
    assert_eq!(chat["number"], 1);
    assert_eq!(
        stage.read(&format!("{}/1", one.chats())).await?["title"],
        "one"
    );
    assert_eq!(
        stage.read(&format!("{}/1", other.chats())).await?["title"],
        "other"
    );
    assert_eq!(numbers(&stage.read(&other.chats()).await?), [1]);
    let answer = stage.client.get(&format!("{}/2", other.chats())).await?;
    expect_not_found(&answer)
}

#[tokio::test]
async fn a_number_that_is_no_plain_positive_integer_is_not_found() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    stage.chat(&application).await?;
    let unknown = stage
        .client
        .get(&format!("{}/2", application.chats()))
        .await?;
    let unknown = anonymous(&unknown)?;
    for number in [
        "0",
        "-1",
        "01",
        "+1",
        "abc",
        "1.0",
        "18446744073709551616",
        "%31%00",
        "%FF",
    ] {
        let answer = stage
            .client
            .get(&format!("{}/{number}", application.chats()))
            .await?;
        assert_eq!(anonymous(&answer).context(number)?, unknown);
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_application_has_no_chats() -> Result<()> {
    let mut stage = Stage::open().await?;
    let chats = format!("/api/v1/applications/{}/chats", "A".repeat(32));
    expect_not_found(&stage.client.get(&chats).await?)?;
    expect_not_found(&stage.client.post(&chats, &json!({})).await?)?;
    expect_not_found(&stage.client.get(&format!("{chats}/1")).await?)?;
    // The body is judged before the path.
    expect_fault(
        &stage.client.post(&chats, &json!({"title": ""})).await?,
        "title",
    )
}

/// Returns a 404 without its request id and its text for humans, so that two can be compared.
fn anonymous(answer: &Answer) -> Result<Value> {
    let mut problem = expect_problem(answer, 404, "not_found")?;
    problem["request_id"] = Value::Null;
    problem["detail"] = Value::Null;
    Ok(problem)
}
