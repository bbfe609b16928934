//! Routes: which there are, which methods they take, and what every answer carries.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use chat_system::{
    client::{Answer, Call, Client},
    operations::{OPERATIONS, Scene},
    problem::{expect_not_found, expect_problem},
    stage::Stage,
    wire::{Wire, request},
};
use serde_json::Value;

/// The methods that are tried on every route; the last two are no methods of HTTP.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get",
];

/// The methods of each path of the document, and of the paths that it leaves out.
type Routes = BTreeMap<String, BTreeSet<String>>;

async fn routes(client: &mut Client) -> Result<Routes> {
    let document = client.get("/openapi.json").await?.expect(200)?;
    let paths = document["paths"].as_object().context("paths")?;
    let mut routes = Routes::new();
    for (path, item) in paths {
        let item = item.as_object().context("operations")?;
        let methods = item.keys().map(|method| method.to_uppercase());
        let methods = methods.filter(|method| METHODS.contains(&method.as_str()));
        routes.insert(path.clone(), methods.collect());
    }
    for path in ["/docs", "/openapi.json", "/metrics"] {
        let get = || BTreeSet::from(["GET".to_owned()]);
        routes.entry(path.to_owned()).or_insert_with(get);
    }
    Ok(routes)
}

/// Returns what the Allow header of a route with these methods names.
fn allowed(methods: &BTreeSet<String>) -> BTreeSet<String> {
    let mut allowed = methods.clone();
    allowed.insert("OPTIONS".to_owned());
    if methods.contains("GET") {
        allowed.insert("HEAD".to_owned());
    }
    allowed
}

fn allow(answer: &Answer) -> Result<BTreeSet<String>> {
    let allow = answer.header("allow").context("an Allow header")?;
    let names: Vec<&str> = allow.split(',').map(str::trim).collect();
    let different: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(different.len(), names.len(), "{allow} names one twice");
    Ok(different)
}

/// Returns a scene in which nothing exists.
fn nowhere(scene: &Scene) -> Scene {
    let mut nowhere = scene.clone();
    nowhere.application.token = "A".repeat(32);
    nowhere
}

#[tokio::test]
async fn the_document_has_the_operations_of_the_contract_and_no_others() -> Result<()> {
    let mut stage = Stage::open().await?;
    let mut described = Routes::new();
    for (path, methods) in routes(&mut stage.client).await? {
        if path.starts_with("/api/v1/") {
            described.insert(anonymous(&path), methods);
        }
    }
    let mut agreed = Routes::new();
    for operation in OPERATIONS
        .iter()
        .filter(|one| one.path.starts_with("/api/v1/"))
    {
        let methods = agreed.entry(anonymous(operation.path)).or_default();
        methods.insert(operation.method.to_owned());
    }
    assert_eq!(described, agreed);
    Ok(())
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    for (path, methods) in routes(&mut stage.client).await? {
        if !methods.contains("GET") {
            continue;
        }
        for scene in [&scene, &nowhere(&scene)] {
            let path = scene.fill(&path);
            let mut wire = Wire::open(stage.one_api()).await?;
            let got = wire.exchange(&request("GET", &path, "", b"")).await?;
            let head = wire.exchange(&request("HEAD", &path, "", b"")).await?;
            assert_eq!(head.status, got.status, "{path}");
            for name in ["content-type", "link"] {
                assert_eq!(head.header(name), got.header(name), "{name} of {path}");
            }
            // Metrics have another length each time.
            if let Some(length) = head.header("content-length")
                && path != "/metrics"
            {
                assert_eq!(Some(length), got.header("content-length"), "{path}");
            }
            // A body would be taken for the next answer.
            wire.expect_good_order().await.context(path)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn options_names_the_methods_of_the_document() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    for (path, methods) in routes(&mut stage.client).await? {
        // What a path names need not exist.
        for scene in [&scene, &nowhere(&scene)] {
            let call = Call::try_new("OPTIONS".parse()?, &scene.fill(&path))?;
            let answer = stage.client.send(&call).await?;
            answer.expect_empty(204).context(path.clone())?;
            assert_eq!(allow(&answer)?, allowed(&methods), "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_other_method_is_refused_and_told_the_right_ones() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    for (path, methods) in routes(&mut stage.client).await? {
        let allowed = allowed(&methods);
        for method in METHODS.iter().filter(|method| !allowed.contains(**method)) {
            for body in ["", "{}"] {
                let call = Call::try_new(method.parse()?, &scene.fill(&path))?;
                let call = call.with_body("application/json", body);
                let answer = stage.client.send(&call).await?;
                if *method == "HEAD" {
                    answer.expect_empty(405).context(path.clone())?;
                } else {
                    expect_problem(&answer, 405, "method_not_allowed")
                        .with_context(|| call.to_string())?;
                }
                assert_eq!(allow(&answer)?, allowed, "{call}");
            }
        }
    }
    // None of them did anything.
    assert_eq!(stage.read(&scene.message()).await?["body"], "said");
    Ok(())
}

#[tokio::test]
async fn an_unknown_route_is_not_found_by_any_method() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let token = &scene.application.token;
    let long = "/api/v1/".to_owned() + &"a/".repeat(1_000) + "a";
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/applications",
        "/API/v1/applications",
        "/api/v1/Applications",
        "/applications",
        "/health",
        "/health/nothing",
        "/docs/index.html",
        "/api/v1/admin",
        "/api/v1/admin/search",
        "/api/v1/chats/1",
        "/api/v1/messages/1",
        &format!("{}/nothing", scene.application.path),
        &format!("{}/chats/1/messages/1/more", scene.application.path),
        &format!("/api/v1/applications/{token}/chats/1/messages/search/more"),
        &long,
    ] {
        for method in METHODS.into_iter().chain(["OPTIONS"]) {
            let call = Call::try_new(method.parse()?, path)?;
            let answer = stage.client.send(&call).await?;
            if method == "HEAD" {
                answer.expect_empty(404).with_context(|| call.to_string())?;
            } else {
                expect_not_found(&answer).with_context(|| call.to_string())?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_slash_too_many_makes_another_route() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    for path in routes(&mut stage.client).await?.keys() {
        let path = scene.fill(path);
        let mut others = vec![
            format!("{path}/"),
            format!("{path}//"),
            format!("{path}/?limit=1"),
        ];
        for (at, _) in path.match_indices('/') {
            others.push(format!("{}/{}", &path[..at], &path[at..]));
        }
        for other in others {
            for method in ["GET", "OPTIONS", "POST", "PURGE"] {
                let call = Call::try_new(method.parse()?, &other)?;
                let answer = stage.client.send(&call).await?;
                expect_not_found(&answer).with_context(|| call.to_string())?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_the_requests_id_or_a_new_one() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let mut made = BTreeSet::new();
    for path in routes(&mut stage.client).await?.keys() {
        for method in ["GET", "HEAD", "OPTIONS", "PURGE"] {
            for path in [
                scene.fill(path),
                nowhere(&scene).fill(path),
                format!("{path}/"),
            ] {
                let call = Call::try_new(method.parse()?, &path)?;
                let id = request_id(&stage.client.send(&call).await?)?;
                assert!(!made.contains(&id), "{id} was made twice");
                let call = call.with_header("x-request-id", "mine-7")?;
                let answer = stage.client.send(&call).await?;
                assert_eq!(request_id(&answer)?, "mine-7", "{call}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{call}");
                made.insert(id);
            }
        }
    }
    let created = stage
        .client
        .send(
            &Call::post(&scene.messages(), &serde_json::json!({"body": "a"}))?
                .with_header("x-request-id", "mine-8")?,
        )
        .await?;
    assert_eq!(request_id(&created)?, "mine-8");
    Ok(())
}

#[tokio::test]
async fn an_id_is_taken_where_it_is_128_visible_characters_at_most() -> Result<()> {
    let mut stage = Stage::open().await?;
    let visible: String = ('!'..='~').collect();
    let longest = "x".repeat(128);
    for id in ["1", "mine-7", visible.as_str(), longest.as_str()] {
        let call = Call::get("/api/v1/nothing")?.with_header("x-request-id", id)?;
        let answer = stage.client.send(&call).await?;
        let problem = expect_problem(&answer, 404, "not_found")?;
        assert_eq!(problem["request_id"], Value::from(id));
    }
    let too_long = "x".repeat(129);
    let ids: [&[u8]; 6] = [
        b"",
        b"two words",
        b"tab\tbed",
        "é".as_bytes(),
        b"\xff",
        too_long.as_bytes(),
    ];
    for id in ids {
        let call = Call::get("/api/v1/nothing")?.with_header("x-request-id", id)?;
        let answer = stage.client.send(&call).await?;
        expect_not_found(&answer)?;
        assert_ne!(request_id(&answer)?.as_bytes(), id);
    }
    Ok(())
}

/// Reads the request id of an answer, and checks that a request could have it, too.
fn request_id(answer: &Answer) -> Result<String> {
    let id = answer
        .header("x-request-id")
        .with_context(|| format!("no request id with {answer}"))?;
    let is_right = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(is_right, "`{id}` is no id");
    Ok(id.to_owned())
}

/// Returns a path without the names of its parameters.
fn anonymous(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<&str>>().join("/")
}
