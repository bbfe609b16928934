//! Chats over HTTP: create, read, list, and how they are numbered.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use chat_system::{
    client::{Answer, Call},
    problem::{expect_fault, expect_problem},
    stage::{Stage, eventually, fields, numbers},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

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
    let mut senders = JoinSet::new();
    for _ in 0..50 {
        let (mut client, call) = (stage.api.client(), call.clone());
        senders.spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..10 {
                let chat = client.send(&call).await?.expect(201)?;
                numbers.push(chat["number"].as_u64().context("a number")?);
            }
            anyhow::Ok(numbers)
        });
    }
    let mut given = Vec::new();
    while let Some(numbers) = senders.join_next().await {
        given.extend(numbers??);
    }
    given.sort_unstable();
    assert_eq!(given, (1..=500).collect::<Vec<u64>>());
    let page = stage
        .read(&format!("{}?limit=1000", application.chats()))
        .await?;
    assert_eq!(numbers(&page), given);
    Ok(())
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
    expect_problem(&answer, 404, "not_found")?;
    Ok(())
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
    expect_problem(&stage.client.get(&chats).await?, 404, "not_found")?;
    expect_problem(
        &stage.client.post(&chats, &json!({})).await?,
        404,
        "not_found",
    )?;
    expect_problem(
        &stage.client.get(&format!("{chats}/1")).await?,
        404,
        "not_found",
    )?;
    // The body is judged before the path.
    expect_fault(
        &stage.client.post(&chats, &json!({"title": ""})).await?,
        "title",
    )
}

#[tokio::test]
async fn messages_are_counted() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    for body in ["one", "two"] {
        stage
            .create(&format!("{chat}/messages"), &json!({"body": body}))
            .await?;
    }
    let api = &stage.api;
    eventually("two messages are counted", || async {
        let read = api.client().get(&chat).await?.expect(200)?;
        Ok((read["messages_count"] == 2).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_list_is_cut_by_after_before_limit_and_order() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..7 {
        stage.chat(&application).await?;
    }
    let chats = application.chats();
    for (query, wanted) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7]),
        ("?after=0", vec![1, 2, 3, 4, 5, 6, 7]),
        ("?order=desc", vec![7, 6, 5, 4, 3, 2, 1]),
        ("?limit=2", vec![1, 2]),
        ("?after=3", vec![4, 5, 6, 7]),
        ("?before=3", vec![1, 2]),
        ("?after=2&before=6&order=desc", vec![5, 4, 3]),
        ("?after=2&before=6&order=desc&limit=1", vec![5]),
        ("?after=18446744073709551615", vec![]),
        ("?before=1", vec![]),
        ("?colour=red", vec![1, 2, 3, 4, 5, 6, 7]),
    ] {
        assert_eq!(
            numbers(&stage.read(&format!("{chats}{query}")).await?),
            wanted,
            "{query}"
        );
    }
    for (name, value) in [
        ("limit", "0"),
        ("limit", "1001"),
        ("after", "-1"),
        ("after", ""),
        ("before", "18446744073709551616"),
        ("order", "up"),
    ] {
        let answer = stage.client.get(&format!("{chats}?{name}={value}")).await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn next_leads_through_all_pages_in_both_orders() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..7 {
        stage.chat(&application).await?;
    }
    for (order, wanted) in [("asc", [2, 3, 4, 5, 6]), ("desc", [6, 5, 4, 3, 2])] {
        let mut listed = Vec::new();
        let query = format!("?order={order}&limit=2&after=1&before=7");
        let mut next = Some(format!("{}{query}", application.chats()));
        while let Some(path) = next {
            let answer = stage.client.get(&path).await?;
            let page = answer.expect(200)?;
            listed.extend(numbers(&page));
            next = page["next"].as_str().map(str::to_owned);
            let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
            assert_eq!(answer.header("link"), link.as_deref());
            assert!(listed.len() <= wanted.len(), "the list does not end");
        }
        assert_eq!(listed, wanted, "{order}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_makes_one_chat_of_many_requests() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let call = Call::try_new(Method::POST, &application.chats())?.with_key("once")?;
    let mut senders = JoinSet::new();
    for _ in 0..20 {
        let (mut client, call) = (stage.api.client(), call.clone());
        senders.spawn(async move { client.send(&call).await });
    }
    let (mut bodies, mut fresh) = (BTreeSet::new(), 0);
    while let Some(answer) = senders.join_next().await {
        let answer = answer??;
        bodies.insert(answer.expect(201)?.to_string());
        match answer.header("idempotency-replayed") {
            Some(replayed) => assert_eq!(replayed, "true"),
            None => fresh += 1,
        }
    }
    assert_eq!((bodies.len(), fresh), (1, 1));
    let titled = Call::post(&application.chats(), &json!({"title": "b"}))?.with_key("once")?;
    let answer = stage.client.send(&titled).await?;
    expect_problem(&answer, 422, "idempotency_key_reused")?;
    assert_eq!(
        stage.create(&application.chats(), &json!({})).await?["number"],
        2
    );
    Ok(())
}

/// Answers what a program can tell a 404 by.
fn anonymous(answer: &Answer) -> Result<Value> {
    let mut problem = expect_problem(answer, 404, "not_found")?;
    problem["request_id"] = Value::Null;
    problem["detail"] = Value::Null;
    Ok(problem)
}
