//! Requests to the API over ports in memory, and over ports that fail.

use std::{
    io::{self, Seek as _},
    num::NonZeroU32,
    sync::Arc,
};

use chat_api::{Dependencies, build, metrics::Metrics};
use chat_core::{
    PortError, PortErrorKind,
    memory::Memory,
    model::ApplicationToken,
    ports::{MockCounter, MockQueue, MockRepository, Ports},
    service::{Policy, Services},
};
use chat_runtime::{metrics::registry, settings::Admin};
use poem::{
    Body, Endpoint, Request, Response,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

const APPLICATIONS: &str = "/api/v1/applications";

fn api_with(ports: Ports, rate_limit: Option<NonZeroU32>) -> impl Endpoint<Output = Response> {
    let services = Services::new(&ports, &Policy::default());
    build(Dependencies {
        services,
        ports,
        admin: Admin::Open,
        rate_limit,
        metrics: Arc::new(Metrics::new(registry())),
    })
}

fn api_over(ports: Ports) -> impl Endpoint<Output = Response> {
    api_with(ports, None)
}

fn api() -> impl Endpoint<Output = Response> {
    api_over(Memory::new().ports())
}

/// Ports whose repository fails with `outcome`.
fn broken(outcome: impl Fn() -> PortError + Clone + Send + 'static) -> Ports {
    let mut repository = MockRepository::new();
    let failing = outcome.clone();
    repository
        .expect_application_id()
        .returning(move |_| Err(failing()));
    repository.expect_check().returning(move || Err(outcome()));
    Ports {
        repository: Arc::new(repository),
        ..Memory::new().ports()
    }
}

fn down() -> PortError {
    let error = PortError::new(PortErrorKind::Unavailable, "sqlite", "find an application");
    error.caused_by("the driver's own words")
}

fn post(path: &str, body: impl Into<Body>) -> Request {
    let request = Request::builder().method(Method::POST).uri_str(path);
    request.content_type("application/json").body(body)
}

fn get(path: &str) -> Request {
    Request::builder().uri_str(path).finish()
}

/// Sends a request and answers the status and the body.
async fn send(api: &impl Endpoint<Output = Response>, request: Request) -> (u16, Value) {
    let response = api.get_response(request).await;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .into_vec()
        .await
        .expect("a body can be read");
    let text = String::from_utf8_lossy(&body).into_owned();
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{text} is no JSON")),
    )
}

fn some_path() -> String {
    format!("{APPLICATIONS}/{}", "a".repeat(ApplicationToken::LENGTH))
}

#[tokio::test]
async fn what_is_created_is_read_and_listed() {
    let api = api();
    let (status, application) = send(&api, post(APPLICATIONS, r#"{"name": "a"}"#)).await;
    assert_eq!(status, 201);
    let path = format!("{APPLICATIONS}/{}", application["token"].as_str().unwrap());
    assert_eq!(send(&api, get(&path)).await, (200, application));
    let chats = format!("{path}/chats");
    assert_eq!(send(&api, post(&chats, "")).await.1["number"], 1);
    let messages = format!("{chats}/1/messages");
    let mut sent = Vec::new();
    for number in 1..=3 {
        let body = json!({"body": "a", "sender": "b"}).to_string();
        let (status, message) = send(&api, post(&messages, body)).await;
        assert_eq!((status, &message["number"]), (201, &json!(number)));
        sent.push(message);
    }
    assert_eq!(
        send(&api, get(&format!("{messages}/2"))).await,
        (200, sent[1].clone())
    );
    let (_, page) = send(&api, get(&format!("{messages}?limit=2"))).await;
    assert_eq!(page["items"], json!(sent[..2]));
    let (_, rest) = send(&api, get(page["next"].as_str().unwrap())).await;
    assert_eq!(rest, json!({"items": sent[2..], "next": null}));
}

#[tokio::test]
async fn a_body_in_pieces_is_read_and_one_without_an_end_is_not() {
    let api = api();
    let piece = |text: &'static str| Ok::<_, std::io::Error>(text);
    let pieces = futures_util::stream::iter([r#"{"na"#, "", r#"me": ""#, r#"a"}"#].map(piece));
    let (status, _) = send(&api, post(APPLICATIONS, Body::from_bytes_stream(pieces))).await;
    assert_eq!(status, 201);
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>("    "));
    let (status, problem) = send(&api, post(APPLICATIONS, Body::from_bytes_stream(endless))).await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")));
}

#[tokio::test]
async fn faults_of_headers_and_fields_are_told_together() {
    let mut request = post(
        &format!("{}/chats/1/messages", some_path()),
        r#"{"body": 5}"#,
    );
    request
        .headers_mut()
        .insert("idempotency-key", "two words".parse().unwrap());
    let (status, problem) = send(&api(), request).await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid")));
    let faults = problem["errors"].as_array().unwrap();
    let fields: Vec<&Value> = faults.iter().map(|fault| &fault["field"]).collect();
    assert_eq!(fields, ["body", "Idempotency-Key"]);
}

#[tokio::test]
async fn a_dependency_that_is_down_is_told_without_the_drivers_words() {
    let api = api_over(broken(down));
    let response = api.get_response(get(&some_path())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.header("retry-after"), Some("1"));
    let text = response.into_body().into_string().await.unwrap();
    assert!(
        text.contains("\"unavailable\"") && !text.contains("driver"),
        "{text}"
    );

    let (status, readiness) = send(&api, get("/health/ready")).await;
    assert_eq!((status, &readiness["status"]), (503, &json!("down")));
    assert_eq!(
        readiness["dependencies"]["counter"],
        json!({"status": "up", "detail": null})
    );
    let repository = &readiness["dependencies"]["repository"];
    assert_eq!(repository["status"], "down");
    assert!(
        !repository["detail"].as_str().unwrap().contains("driver"),
        "{repository}"
    );
    assert_eq!(
        send(&api, get("/health/live")).await,
        (200, json!({"status": "live"}))
    );
}

#[tokio::test]
async fn only_what_is_of_the_application_counts_against_its_limit() {
    let api = api_with(Memory::new().ports(), NonZeroU32::new(1));
    let mut answers = Vec::new();
    // A second, which brings a new allowance, may pass between two of them, but not between all.
    for _ in 0..20 {
        answers.push(send(&api, get(&some_path())).await);
    }
    let refused: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 429)
        .collect();
    assert!((1..20).contains(&refused.len()), "{answers:?}");
    assert_eq!(refused[0].1["code"], "too_many_requests");
    for path in ["/health/live", "/api/v1/applications", "/api/v1/messages"] {
        for _ in 0..3 {
            assert_eq!(send(&api, get(path)).await.0, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_fault_of_the_program_is_internal_and_says_no_more() {
    let corrupt = || PortError::new(PortErrorKind::Corrupt, "sqlite", "read").caused_by("row 7");
    // A mock that expects nothing panics when it is called.
    let panicking = Ports {
        repository: Arc::new(MockRepository::new()),
        ..broken(corrupt)
    };
    for ports in [broken(corrupt), panicking] {
        let api = api_over(ports);
        let mut request = get(&some_path());
        request
            .headers_mut()
            .insert("x-request-id", "mine".parse().unwrap());
        let (status, problem) = send(&api, request).await;
        let detail = "the server failed; its log has the cause under this request id";
        let wanted = json!({
            "type": "about:blank", "title": "Internal error", "status": 500, "detail": detail,
            "code": "internal", "request_id": "mine",
        });
        assert_eq!((status, problem), (500, wanted));
    }
}

#[tokio::test]
async fn nothing_is_asked_of_the_ports_for_a_request_that_is_refused() {
    // Mocks that expect nothing panic when they are called.
    let ports = Ports {
        counter: Arc::new(MockCounter::new()),
        queue: Arc::new(MockQueue::new()),
        repository: Arc::new(MockRepository::new()),
        ..Memory::new().ports()
    };
    let api = api_over(ports);
    let chats = format!("{}/chats", some_path());
    for (request, status) in [
        (post(&chats, "{"), 400),
        (post(&chats, r#"{"title": ""}"#), 422),
        (post(&format!("{APPLICATIONS}/short/chats"), "{}"), 404),
        (get(&format!("{chats}/01")), 404),
        (get(&format!("{chats}?limit=0")), 422),
        (get("/api/v1/nothing"), 404),
    ] {
        assert_eq!(send(&api, request).await.0, status);
    }
}

#[tokio::test]
async fn the_log_names_every_cause_of_a_failure() {
    let lines = Arc::new(tempfile::tempfile().unwrap());
    let log = tracing_subscriber::fmt()
        .json()
        .with_writer(Arc::clone(&lines))
        .finish();
    let logging = tracing::subscriber::set_default(log);
    let answer = api_over(broken(down)).get_response(get(&some_path())).await;
    drop(logging);
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut file = &*lines;
    file.rewind().unwrap();
    let lines = io::read_to_string(file).unwrap();
    let told =
        "sqlite failed to find an application: the backend is unavailable: the driver's own words";
    assert!(lines.contains(told), "{lines}");
}
