//! Health and metrics: whether the server lives, what it depends on, and what it counts.

use anyhow::Result;
use chat_system::{
    client::{Call, Client},
    exposition::Exposition,
    operations::Scene,
    problem::{expect_discretion, expect_not_found},
    stage::{Stage, fields},
};
use serde_json::{Value, json};

const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";
const METRICS: &str = "/metrics";

#[tokio::test]
async fn a_started_server_lives() -> Result<()> {
    let mut stage = Stage::open().await?;
    let answer = stage.client.get(LIVE).await?;
    answer.expect(200)?;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    Ok(())
}

#[tokio::test]
async fn readiness_tells_the_state_of_each_dependency() -> Result<()> {
    let mut stage = Stage::open().await?;
    let answer = stage.client.get(READY).await?;
    let ready = answer.expect(200)?;
    expect_discretion(&answer)?;
    assert_eq!(fields(&ready), ["dependencies", "status"]);
    let dependencies = &ready["dependencies"];
    let names = ["counter", "queue", "repository", "search"];
    assert_eq!(fields(dependencies), names);
    for name in names {
        let dependency = &dependencies[name];
        assert_eq!(fields(dependency), ["detail", "status"]);
        assert_eq!(dependency["status"], "up", "{name}");
        assert_eq!(dependency["detail"], Value::Null, "{name}");
    }
    assert_eq!(ready["status"], "ready");
    Ok(())
}

#[tokio::test]
async fn metrics_are_what_a_prometheus_server_reads() -> Result<()> {
    let mut stage = Stage::open().await?;
    Scene::set(&mut stage).await?;
    let answer = stage.client.get(METRICS).await?;
    let exposition = Exposition::read(&answer)?;
    assert!(!exposition.samples.is_empty());
    for sample in &exposition.samples {
        assert!(sample.value >= 0.0, "{sample:?}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    // All requests go to one `api`, since each counts only its own.
    let mut client = Client::new(stage.one_api());
    let chats = "/api/v1/applications/{token}/chats";
    let messages = "/api/v1/applications/{token}/chats/{chat}/messages";
    let message = "/api/v1/applications/{token}/chats/{chat}/messages/{message}";
    let before = Exposition::read(&client.get(METRICS).await?)?;
    for (method, pattern, path, body, status, times) in [
        ("POST", chats, scene.fill(chats), "{}", 201, 3_u8),
        ("POST", chats, scene.fill(chats), "{", 400, 2),
        ("POST", chats, scene.fill(chats), r#"{"title": 5}"#, 422, 1),
        ("GET", chats, scene.fill(chats), "", 200, 4),
        (
            "POST",
            messages,
            scene.messages(),
            r#"{"body": "a"}"#,
            201,
            5,
        ),
        ("GET", message, scene.message(), "", 200, 6),
        (
            "GET",
            message,
            format!("{}/7", scene.messages()),
            "",
            404,
            2,
        ),
        (
            "PATCH",
            message,
            scene.message(),
            r#"{"body": "b"}"#,
            200,
            2,
        ),
        ("DELETE", message, scene.message(), "", 204, 1),
        ("DELETE", message, scene.message(), "", 404, 1),
    ] {
        let call = Call::try_new(method.parse()?, &path)?;
        let call = call.with_body("application/json", body);
        for _ in 0..times {
            let answer = client.send(&call).await?;
            assert_eq!(answer.status, status, "{call}: {answer}");
        }
        let after = Exposition::read(&client.get(METRICS).await?)?;
        let counted =
            after.requests(method, pattern, status) - before.requests(method, pattern, status);
        assert!(
            (counted - f64::from(times)).abs() < 0.5,
            "{times} times {method} {pattern} with {status} are counted as {counted}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn metrics_name_no_token_no_raw_path_and_no_text() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let application = json!({"name": "a-secret-name"});
    stage.create("/api/v1/applications", &application).await?;
    stage
        .create(&scene.messages(), &json!({"body": "a-secret-body"}))
        .await?;
    stage.read(&format!("{}?limit=7", scene.messages())).await?;
    stage.read(&scene.message()).await?;
    // What matches no route must not make a metric of its own.
    for path in [
        "/a-secret-path",
        "/api/v1/a-secret-path",
        "/api/v1/applications/a-secret-token",
    ] {
        expect_not_found(&stage.client.get(path).await?)?;
    }
    let unheard_of = Call::try_new("ASECRETMETHOD".parse()?, LIVE)?;
    assert_eq!(stage.client.send(&unheard_of).await?.status, 405);
    for api in stage.servers() {
        let answer = Client::new(api).get(METRICS).await?;
        Exposition::read(&answer)?;
        let text = String::from_utf8_lossy(&answer.body).to_lowercase();
        for kept in [
            &*scene.application.token.to_lowercase(),
            "chats/1",
            "messages/1",
            "limit=7",
            "secret",
        ] {
            assert!(!text.contains(kept), "`{kept}` stands in {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn health_and_metrics_need_no_key() -> Result<()> {
    for settings in [[("CHAT_ADMIN_KEY", "open-sesame")], [("CHAT_ADMIN", "off")]] {
        let mut stage = Stage::open_with(&settings).await?;
        for path in [LIVE, READY, METRICS] {
            assert_eq!(stage.client.get(path).await?.status, 200, "{path}");
        }
    }
    Ok(())
}
