//! What operators may do, and what keeps everybody else from it.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    operations::{OPERATIONS, Operation, Scene},
    paging,
    problem::{expect_fault, expect_not_found, expect_problem},
    stage::Stage,
    wire::{Wire, request},
};
use hyper::Method;
use serde_json::json;

const LETTERS: &str = "/api/v1/admin/dead-letters";
const KEY: &str = "open-sesame";

/// Returns the operations that only operators may use.
fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(|operation| operation.is_for_admins())
}

#[tokio::test]
async fn there_are_no_dead_letters_where_nothing_failed() -> Result<()> {
    let mut stage = Stage::open().await?;
    Scene::set(&mut stage).await?;
    assert_eq!(
        stage.read(LETTERS).await?,
        json!({"items": [], "next": null})
    );
    assert!(
        paging::items(&mut stage.client, &format!("{LETTERS}?limit=1"))
            .await?
            .is_empty()
    );
    for (name, value) in [("limit", "0"), ("limit", "1001"), ("limit", "")] {
        let answer = stage
            .client
            .get(&format!("{LETTERS}?{name}={value}"))
            .await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_dead_letter_is_not_found() -> Result<()> {
    let mut stage = Stage::open().await?;
    let too_long = "a".repeat(1_000);
    for id in [
        "1",
        "0",
        "-1",
        "18446744073709551616",
        "unknown",
        "0123456789abcdef0123456789abcdef",
        "%00",
        "%FF",
        "a%20b",
        "%F0%9F%91%8D",
        &too_long,
    ] {
        for call in [
            Call::try_new(Method::POST, &format!("{LETTERS}/{id}/replay"))?,
            Call::try_new(Method::DELETE, &format!("{LETTERS}/{id}"))?,
        ] {
            let answer = stage.client.send(&call).await?;
            expect_not_found(&answer).with_context(|| call.to_string())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn operators_need_the_key_where_there_is_one() -> Result<()> {
    // Where there is a key, `CHAT_ADMIN` defaults to `key`.
    for settings in [
        vec![("CHAT_ADMIN_KEY", KEY)],
        vec![("CHAT_ADMIN_KEY", KEY), ("CHAT_ADMIN", "key")],
    ] {
        let mut stage = Stage::open_with(&settings).await?;
        let scene = Scene::set(&mut stage).await?;
        for operation in operations() {
            let call = operation.call(&scene)?;
            expect_problem(&stage.client.send(&call).await?, 401, "unauthorized")?;
            for wrong in [
                "",
                "Bearer",
                "Bearer ",
                "Bearer wrong",
                "Bearer open-sesam",
                "Bearer open-sesame!",
                "Bearer Open-Sesame",
                "Bearer open-sesame, Bearer open-sesame",
                "Basic open-sesame",
                "open-sesame",
            ] {
                let call = call.clone().with_header("authorization", wrong)?;
                let answer = stage.client.send(&call).await?;
                expect_problem(&answer, 401, "unauthorized")
                    .with_context(|| format!("{operation} with `{wrong}`"))?;
            }
            let not_ascii = call.clone().with_header("authorization", "Bearer é")?;
            expect_problem(&stage.client.send(&not_ascii).await?, 401, "unauthorized")?;
            let right = call.with_header("authorization", format!("Bearer {KEY}"))?;
            let status = stage.client.send(&right).await?.status;
            assert_eq!(status, operation.status, "{operation}");
        }
        expect_everybody_else_is_let_in(&mut stage, &scene).await?;
    }
    Ok(())
}

#[tokio::test]
async fn operators_have_no_way_in_where_admin_is_off() -> Result<()> {
    for settings in [
        vec![("CHAT_ADMIN", "off")],
        vec![("CHAT_ADMIN", "off"), ("CHAT_ADMIN_KEY", KEY)],
    ] {
        let mut stage = Stage::open_with(&settings).await?;
        let scene = Scene::set(&mut stage).await?;
        for operation in operations() {
            for authorization in ["", "Bearer open-sesame"] {
                let call = operation.call(&scene)?;
                let call = call.with_header("authorization", authorization)?;
                let answer = stage.client.send(&call).await?;
                expect_problem(&answer, 403, "forbidden").with_context(|| operation.to_string())?;
            }
        }
        expect_everybody_else_is_let_in(&mut stage, &scene).await?;
    }
    Ok(())
}

#[tokio::test]
async fn operators_need_nothing_where_admin_is_open() -> Result<()> {
    // Without a key and listening on loopback, it defaults to `local`.
    for settings in [
        vec![],
        vec![("CHAT_ADMIN", "local")],
        vec![("CHAT_ADMIN", "open")],
    ] {
        let mut stage = Stage::open_with(&settings).await?;
        let scene = Scene::set(&mut stage).await?;
        for operation in operations() {
            for authorization in ["", "Bearer anything"] {
                let call = operation.call(&scene)?;
                let call = call.with_header("authorization", authorization)?;
                let status = stage.client.send(&call).await?.status;
                assert_eq!(status, operation.status, "{operation}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_web_page_from_elsewhere_is_no_operator() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    for operation in operations() {
        for (name, value) in [
            ("host", "rebound.example"),
            ("host", "rebound.example:8080"),
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ] {
            let call = operation.call(&scene)?.with_header(name, value)?;
            let answer = stage.client.send(&call).await?;
            expect_problem(&answer, 403, "forbidden")
                .with_context(|| format!("{operation} with `{name}: {value}`"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn options_needs_no_key_and_head_does() -> Result<()> {
    for (settings, refused) in [
        ([("CHAT_ADMIN_KEY", KEY)], 401),
        ([("CHAT_ADMIN", "off")], 403),
    ] {
        let mut stage = Stage::open_with(&settings).await?;
        let scene = Scene::set(&mut stage).await?;
        for operation in operations() {
            let path = scene.fill(operation.path);
            let options = Call::try_new(Method::OPTIONS, &path)?;
            let answer = stage.client.send(&options).await?;
            answer.expect_empty(204).context(path.clone())?;
            let allow = answer.header("allow").context("an Allow header")?;
            assert!(allow.contains(operation.method), "{operation}: {allow}");
            if operation.method == "GET" {
                let head = Call::try_new(Method::HEAD, &path)?;
                let answer = stage.client.send(&head).await?;
                answer.expect_empty(refused).context(path)?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_key_is_judged_behind_the_route_and_the_method_and_before_all_else() -> Result<()> {
    let mut stage = Stage::open_with(&[("CHAT_ADMIN_KEY", KEY)]).await?;
    let scene = Scene::set(&mut stage).await?;
    for path in [
        "/api/v1/admin",
        "/api/v1/admin/nothing",
        "/api/v1/admin/search",
    ] {
        expect_not_found(&stage.client.get(path).await?).context(path)?;
    }
    for operation in operations() {
        let path = scene.fill(operation.path);
        let purge = Call::try_new("PURGE".parse()?, &path)?;
        let answer = stage.client.send(&purge).await?;
        expect_problem(&answer, 405, "method_not_allowed").context(path.clone())?;
        let long = "x".repeat(300 * 1_024);
        for (query, content_type, body) in [
            (
                "?limit=0&cursor=made-up&query=a&query=b",
                "application/json",
                "",
            ),
            ("", "text/plain", "{}"),
            ("", "application/json", "{"),
            ("", "application/json", r#"{"unknown": 5}"#),
            ("", "application/json", &long),
        ] {
            let headers = format!("content-type: {content_type}\r\n");
            let target = format!("{path}{query}");
            let bytes = request(operation.method, &target, &headers, body.as_bytes());
            let mut wire = Wire::open(stage.one_api()).await?;
            let answer = wire.exchange(&bytes).await?;
            expect_problem(&answer, 401, "unauthorized")
                .with_context(|| format!("{operation} with {content_type} `{body:.20}`"))?;
        }
    }
    Ok(())
}

/// Checks that everything that is not for operators needs no key.
async fn expect_everybody_else_is_let_in(stage: &mut Stage, scene: &Scene) -> Result<()> {
    for operation in OPERATIONS
        .iter()
        .filter(|operation| !operation.is_for_admins())
    {
        // A delete would take away what the later operations need.
        if operation.method != "DELETE" {
            let answer = stage.client.send(&operation.call(scene)?).await?;
            assert_eq!(answer.status, operation.status, "{operation}: {answer}");
        }
    }
    Ok(())
}
