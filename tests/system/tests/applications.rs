//! Applications over HTTP: create, read, list, and what guards them.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    problem::{expect_fault, expect_problem},
    stage::{Stage, eventually, fields},
};
use hyper::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/applications";

#[tokio::test]
async fn a_created_application_has_a_token_and_a_location() -> Result<()> {
    let mut stage = Stage::open().await?;
    let answer = stage.client.post(PATH, &json!({"name": "support"})).await?;
    let application = answer.expect(201)?;
    let wanted = ["chats_count", "created_at", "name", "token", "updated_at"];
    assert_eq!(fields(&application), wanted);
    assert_eq!(application["name"], "support");
    assert_eq!(application["chats_count"], 0);
    let token = application["token"].as_str().context("a token")?;
    assert_eq!(token.len(), 32);
    assert!(
        token.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{token}"
    );
    let created_at = application["created_at"].as_str().context("a time")?;
    assert!(
        created_at.contains('T') && created_at.ends_with('Z'),
        "{created_at}"
    );
    assert_eq!(
        answer.header("location"),
        Some(format!("{PATH}/{token}").as_str())
    );
    assert_eq!(stage.read(&format!("{PATH}/{token}")).await?, application);
    Ok(())
}

#[tokio::test]
async fn names_are_kept_byte_for_byte() -> Result<()> {
    let mut stage = Stage::open().await?;
    let longest = "🦀".repeat(255);
    for name in [
        " with space around ",
        "e\u{301} is not é",
        "👩‍👩‍👧 𝔘𝔫𝔦",
        "\u{1}",
        &longest,
    ] {
        let application = stage.create(PATH, &json!({"name": name})).await?;
        let path = format!(
            "{PATH}/{}",
            application["token"].as_str().context("a token")?
        );
        assert_eq!(stage.read(&path).await?["name"], name);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_name_is_refused_and_named() -> Result<()> {
    let mut stage = Stage::open().await?;
    let too_long = "a".repeat(256);
    for body in [
        json!({}),
        json!({"name": null}),
        json!({"name": ""}),
        json!({"name": " \t\u{3000}"}),
        json!({"name": too_long}),
        json!({"name": "nul \u{0}"}),
        json!({"name": 5}),
        json!({"name": true}),
        json!({"name": ["x"]}),
    ] {
        let answer = stage.client.post(PATH, &body).await?;
        expect_fault(&answer, "name").with_context(|| body.to_string())?;
    }
    let answer = stage
        .client
        .post(PATH, &json!({"name": "a", "colour": "red"}))
        .await?;
    expect_fault(&answer, "colour")?;
    for body in [json!(["x"]), json!("x"), json!(null), json!(7)] {
        let answer = stage.client.post(PATH, &body).await?;
        expect_problem(&answer, 422, "invalid").with_context(|| body.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn all_faults_of_a_body_are_told_at_once() -> Result<()> {
    let mut stage = Stage::open().await?;
    let answer = stage
        .client
        .post(PATH, &json!({"name": "", "colour": "red"}))
        .await?;
    expect_fault(&answer, "name")?;
    expect_fault(&answer, "colour")
}

#[tokio::test]
async fn what_is_no_json_is_malformed() -> Result<()> {
    let mut stage = Stage::open().await?;
    let lone_surrogate = r#"{"name": "\ud83d"}"#;
    let not_utf8: &[u8] = b"{\"name\": \"\xff\"}";
    let trailing = r#"{"name": "a"} x"#;
    let bodies = [
        b"{",
        b"".as_slice(),
        lone_surrogate.as_bytes(),
        not_utf8,
        trailing.as_bytes(),
    ];
    for body in bodies {
        let call = Call::try_new(Method::POST, PATH)?.with_body("application/json", body.to_vec());
        expect_problem(&stage.client.send(&call).await?, 400, "malformed_json")
            .with_context(|| String::from_utf8_lossy(body).into_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn only_json_is_taken() -> Result<()> {
    let mut stage = Stage::open().await?;
    let body = r#"{"name": "a"}"#;
    for content_type in ["text/plain", "application/vnd.x+json", "application/jsonp"] {
        let call = Call::try_new(Method::POST, PATH)?.with_body(content_type, body);
        expect_problem(
            &stage.client.send(&call).await?,
            415,
            "unsupported_media_type",
        )?;
    }
    let untyped = Call::try_new(Method::POST, PATH)?;
    expect_problem(
        &stage.client.send(&untyped).await?,
        415,
        "unsupported_media_type",
    )?;
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let call = Call::try_new(Method::POST, PATH)?.with_body(content_type, body);
        stage.client.send(&call).await?.expect(201)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_does_not_give_away_another_callers_token() -> Result<()> {
    let mut stage = Stage::open().await?;
    let call = Call::post(PATH, &json!({"name": "a"}))?.with_key("guessed")?;
    let first = stage.client.send(&call).await?.expect(201)?;
    let second = stage.client.send(&call).await?.expect(201)?;
    assert_ne!(first["token"], second["token"]);
    Ok(())
}

#[tokio::test]
async fn an_unknown_token_is_not_found() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let other_case: String = application.token.chars().map(swap_case).collect();
    let unknown = "A".repeat(32);
    for token in [
        other_case.as_str(),
        unknown.as_str(),
        "1",
        "%F0%9F%91%8D",
        "%FF",
        "a%20b",
    ] {
        let answer = stage.client.get(&format!("{PATH}/{token}")).await?;
        expect_problem(&answer, 404, "not_found").with_context(|| token.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn chats_are_counted() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..3 {
        stage.chat(&application).await?;
    }
    let (api, path) = (&stage.api, &application.path);
    eventually("three chats are counted", || async {
        let read = api.client().get(path).await?.expect(200)?;
        Ok((read["chats_count"] == 3).then_some(()))
    })
    .await
}

#[tokio::test]
async fn applications_are_listed_in_the_order_of_their_creation() -> Result<()> {
    let mut stage = Stage::open().await?;
    let mut created = Vec::new();
    for index in 0..5 {
        created.push(
            stage
                .create(PATH, &json!({"name": format!("a{index}")}))
                .await?,
        );
    }
    let mut listed = Vec::new();
    let mut next = Some(format!("{PATH}?limit=2"));
    while let Some(path) = next {
        let answer = stage.client.get(&path).await?;
        let page = answer.expect(200)?;
        assert_eq!(fields(&page), ["items", "next"]);
        listed.extend(page["items"].as_array().context("items")?.iter().cloned());
        next = page["next"].as_str().map(str::to_owned);
        let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
        assert_eq!(answer.header("link"), link.as_deref());
        assert!(listed.len() <= created.len(), "the list does not end");
    }
    assert_eq!(listed, created);
    assert_eq!(stage.read(PATH).await?["next"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_wrong_parameter_of_the_list_is_refused_and_an_unknown_one_ignored() -> Result<()> {
    let mut stage = Stage::open().await?;
    for (name, value) in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "ten"),
        ("limit", ""),
        ("cursor", "made-up"),
    ] {
        let answer = stage.client.get(&format!("{PATH}?{name}={value}")).await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    stage
        .read(&format!("{PATH}?limit=1000&colour=red&after=-1"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_list_of_applications_is_for_admins() -> Result<()> {
    let mut stage = Stage::open_with(&[("CHAT_ADMIN_KEY", "open-sesame")]).await?;
    let answer = stage.client.get(PATH).await?;
    expect_problem(&answer, 401, "unauthorized")?;
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|way| way.starts_with("Bearer"))
    );
    for (authorization, status) in [
        ("Bearer wrong", 401),
        ("open-sesame", 401),
        ("Bearer open-sesame", 200),
    ] {
        let call = Call::get(PATH)?.with_header("authorization", authorization)?;
        assert_eq!(
            stage.client.send(&call).await?.status,
            status,
            "{authorization}"
        );
    }
    stage.application().await?;

    let mut stage = Stage::open_with(&[("CHAT_ADMIN", "off")]).await?;
    expect_problem(&stage.client.get(PATH).await?, 403, "forbidden")?;
    Ok(())
}

#[tokio::test]
async fn every_route_answers_head_and_options_and_names_what_it_allows() -> Result<()> {
    let mut stage = Stage::open().await?;
    let got = stage.client.get(PATH).await?;
    let head = stage
        .client
        .send(&Call::try_new(Method::HEAD, PATH)?)
        .await?;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-type"), got.header("content-type"));
    let options = stage
        .client
        .send(&Call::try_new(Method::OPTIONS, PATH)?)
        .await?;
    assert_eq!(options.status, 204);
    let refused = stage
        .client
        .send(&Call::try_new(Method::DELETE, PATH)?)
        .await?;
    expect_problem(&refused, 405, "method_not_allowed")?;
    for answer in [options, refused] {
        let allow = answer.header("allow").context("an Allow header")?;
        let methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        assert!(
            methods.contains(&"GET") && methods.contains(&"POST"),
            "{allow}"
        );
    }
    for path in [
        "/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/applications",
        "/applications",
    ] {
        expect_problem(&stage.client.get(path).await?, 404, "not_found").context(path)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_id_is_taken_or_made() -> Result<()> {
    let mut stage = Stage::open().await?;
    let longest = "x".repeat(128);
    for id in ["mine-7", longest.as_str()] {
        let call = Call::get("/api/v1/nothing")?.with_header("x-request-id", id)?;
        let answer = stage.client.send(&call).await?;
        assert_eq!(expect_problem(&answer, 404, "not_found")?["request_id"], id);
    }
    let mut made = Vec::new();
    let too_long = "x".repeat(129);
    for id in ["", "two words", "é", too_long.as_str()] {
        let call = Call::get(PATH)?.with_header("x-request-id", id)?;
        let answer = stage.client.send(&call).await?;
        let answered = answer
            .header("x-request-id")
            .context("a request id")?
            .to_owned();
        assert_ne!(answered, id);
        assert!(!made.contains(&answered), "{answered} was made twice");
        made.push(answered);
    }
    Ok(())
}

fn swap_case(letter: char) -> char {
    if letter.is_ascii_lowercase() {
        letter.to_ascii_uppercase()
    } else {
        letter.to_ascii_lowercase()
    }
}
