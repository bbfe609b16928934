//! Applications over HTTP: create, read, list, rename, delete.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    moment::expect_change,
    operations::Scene,
    paging,
    problem::{expect_fault, expect_not_found, expect_problem},
    race::{at_once, statuses},
    stage::{CHANGING, Stage, fields},
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
    assert_eq!(application["updated_at"], application["created_at"]);
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
        let created = stage.create(PATH, &json!({"name": name})).await?;
        let path = path_of(&created)?;
        assert_eq!(stage.read(&path).await?["name"], name);
        for way in &CHANGING {
            stage
                .change(way, &path, &json!({"name": "another"}))
                .await?;
            stage.change(way, &path, &json!({"name": name})).await?;
            assert_eq!(stage.read(&path).await?["name"], name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_name_is_refused_and_named() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let before = stage.read(&application.path).await?;
    let too_long = "a".repeat(256);
    for (method, path) in naming(&application.path) {
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
            let call = Call::json(method.clone(), path, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_fault(&answer, "name").with_context(|| call.to_string())?;
        }
        for field in ["colour", "token", "chats_count"] {
            let call = Call::json(method.clone(), path, &json!({"name": "a", field: "x"}))?;
            expect_fault(&stage.client.send(&call).await?, field)?;
        }
        for body in [json!(["x"]), json!("x"), json!(null), json!(7)] {
            let call = Call::json(method.clone(), path, &body)?;
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 422, "invalid").with_context(|| call.to_string())?;
        }
    }
    assert_eq!(stage.read(&application.path).await?, before);
    assert_eq!(paging::items(&mut stage.client, PATH).await?, [before]);
    Ok(())
}

#[tokio::test]
async fn all_faults_of_a_body_are_told_at_once() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for (method, path) in naming(&application.path) {
        let call = Call::json(method, path, &json!({"name": "", "colour": "red"}))?;
        let answer = stage.client.send(&call).await?;
        expect_fault(&answer, "name")?;
        expect_fault(&answer, "colour")?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_json_is_malformed() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
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
    for (method, path) in naming(&application.path) {
        for body in bodies {
            let call = Call::try_new(method.clone(), path)?;
            let call = call.with_body("application/json", body.to_vec());
            expect_problem(&stage.client.send(&call).await?, 400, "malformed_json")
                .with_context(|| call.to_string())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_json_is_taken() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let body = r#"{"name": "a"}"#;
    for (method, path) in naming(&application.path) {
        let bare = Call::try_new(method.clone(), path)?;
        let mut refused = vec![bare.clone()];
        for content_type in ["text/plain", "application/vnd.x+json", "application/jsonp"] {
            refused.push(bare.clone().with_body(content_type, body));
        }
        for call in refused {
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 415, "unsupported_media_type")
                .with_context(|| call.to_string())?;
        }
        let status = if method == Method::POST { 201 } else { 200 };
        for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
            let call = bare.clone().with_body(content_type, body);
            stage.client.send(&call).await?.expect(status)?;
        }
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
        let path = format!("{PATH}/{token}");
        for call in [
            Call::get(&path)?,
            Call::json(Method::PATCH, &path, &json!({"name": "a"}))?,
            Call::json(Method::PUT, &path, &json!({"name": "a"}))?,
            Call::try_new(Method::DELETE, &path)?,
        ] {
            let answer = stage.client.send(&call).await?;
            expect_not_found(&answer).with_context(|| call.to_string())?;
        }
    }
    assert_eq!(stage.read(&application.path).await?["name"], "test");
    Ok(())
}

#[tokio::test]
async fn chats_are_counted() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..3 {
        stage.chat(&application).await?;
    }
    stage
        .expect_count(&application.path, "chats_count", 3)
        .await
}

#[tokio::test]
async fn applications_are_listed_in_the_order_of_their_creation() -> Result<()> {
    let mut stage = Stage::open().await?;
    let mut created = Vec::new();
    for index in 0..6 {
        let name = json!({"name": format!("a{index}")});
        created.push(stage.create(PATH, &name).await?);
    }
    let pages = paging::pages(&mut stage.client, &format!("{PATH}?limit=2")).await?;
    assert_eq!(pages, created.chunks(2).collect::<Vec<&[Value]>>());
    assert_eq!(paging::items(&mut stage.client, PATH).await?, created);
    // A rename shows in the list, and does not change its order.
    let path = path_of(&created[2])?;
    created[2] = stage
        .change(&Method::PUT, &path, &json!({"name": "z"}))
        .await?;
    assert_eq!(paging::items(&mut stage.client, PATH).await?, created);
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
async fn a_rename_changes_the_name_and_moves_updated_at_alone() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    stage.chat(&application).await?;
    let path = &application.path;
    stage.expect_count(path, "chats_count", 1).await?;
    let mut before = stage.read(path).await?;
    for way in &CHANGING {
        let name = format!("renamed by {way}");
        let after = stage.change(way, path, &json!({"name": name})).await?;
        expect_change(&before, &after)?;
        before["name"] = json!(name);
        before["updated_at"] = after["updated_at"].clone();
        assert_eq!(after, before);
        assert_eq!(stage.read(path).await?, before);
    }
    stage.crash().await?;
    assert_eq!(stage.read(path).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_deleted_application_is_gone_with_all_below_it() -> Result<()> {
    let mut stage = Stage::open().await?;
    let other = Scene::set(&mut stage).await?;
    let scene = Scene::set(&mut stage).await?;
    let used = [
        Call::post(&scene.application.chats(), &json!({"title": "a"}))?.with_key("chat")?,
        Call::post(&scene.messages(), &json!({"body": "a"}))?.with_key("message")?,
    ];
    for call in &used {
        stage.client.send(call).await?.expect(201)?;
    }
    stage.delete(&scene.application.path).await?;
    for is_restarted in [false, true] {
        scene.expect_gone(&mut stage.client, "{token}").await?;
        for call in &used {
            expect_not_found(&stage.client.send(call).await?).with_context(|| call.to_string())?;
        }
        // Nothing else is gone.
        assert_eq!(stage.read(&other.message()).await?["body"], "said");
        let listed = paging::items(&mut stage.client, PATH).await?;
        let tokens: Vec<&Value> = listed.iter().map(|item| &item["token"]).collect();
        assert_eq!(tokens, [&json!(other.application.token)]);
        if !is_restarted {
            stage.crash().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn of_twenty_deletes_at_once_one_deletes() -> Result<()> {
    let mut stage = Stage::open().await?;
    for _ in 0..5 {
        let application = stage.application().await?;
        let call = Call::try_new(Method::DELETE, &application.path)?;
        let answers = at_once(&stage, vec![vec![call]; 20]).await?;
        assert_eq!(statuses(&answers), [(204, 1), (404, 19)].into());
        for answer in answers.iter().filter(|answer| answer.status == 404) {
            expect_not_found(answer)?;
        }
    }
    assert_eq!(
        paging::items(&mut stage.client, PATH).await?,
        Vec::<Value>::new()
    );
    Ok(())
}

#[tokio::test]
async fn the_cursor_of_a_deleted_application_leads_on() -> Result<()> {
    let mut stage = Stage::open().await?;
    let mut created = Vec::new();
    for index in 0..6 {
        let name = json!({"name": format!("a{index}")});
        created.push(stage.create(PATH, &name).await?);
    }
    let (items, next) = paging::page(&mut stage.client, &format!("{PATH}?limit=3")).await?;
    assert_eq!(items, created[..3]);
    // The last item of the first page, the first of the second, and the last of all.
    for gone in [2, 3, 5] {
        stage.delete(&path_of(&created[gone])?).await?;
    }
    let rest = paging::items(&mut stage.client, &next.context("a next page")?).await?;
    assert_eq!(rest, [created[4].clone()]);
    let all = paging::items(&mut stage.client, PATH).await?;
    assert_eq!(
        all,
        [&created[0], &created[1], &created[4]].map(Clone::clone)
    );
    Ok(())
}

/// Returns every method and path that takes a name.
fn naming(path: &str) -> [(Method, &str); 3] {
    [
        (Method::POST, PATH),
        (Method::PATCH, path),
        (Method::PUT, path),
    ]
}

fn path_of(application: &Value) -> Result<String> {
    let token = application["token"].as_str().context("a token")?;
    Ok(format!("{PATH}/{token}"))
}

fn swap_case(letter: char) -> char {
    if letter.is_ascii_lowercase() {
        letter.to_ascii_uppercase()
    } else {
        letter.to_ascii_lowercase()
    }
}
