//! Odd uses of a connection: every request gets its own answer, and no answer is lost.

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    operations::{OPERATIONS, Operation},
    problem::{expect_discretion, expect_problem},
    wire::{Wire, chunked, request},
};
use serde_json::Value;

use crate::{Served, Target, Unsupported, forms};

const JSON: &str = "content-type: application/json\r\n";

/// Sends a request and checks the status of its answer, and that the connection is in good order.
async fn expect_status(target: &Target, bytes: &[u8], status: u16) -> Result<()> {
    let mut wire = target.wire().await?;
    let shown = String::from_utf8_lossy(bytes);
    let shown: String = shown.chars().take(200).collect();
    let answer = wire.exchange(bytes).await.with_context(|| shown.clone())?;
    ensure!(answer.status == status, "{shown:?}: {answer}");
    expect_discretion(&answer)?;
    wire.expect_good_order().await.context(shown)
}

/// Returns the operation that creates a message.
fn creating() -> Result<&'static Operation> {
    let messages = "/api/v1/applications/{token}/chats/{chat}/messages";
    Operation::find("POST", messages)
}

#[tokio::test]
async fn who_asks_before_a_body_is_told_to_go_on() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let (path, body) = (
            target.scene.fill(operation.path),
            operation.body.unwrap_or_default(),
        );
        let mut wire = target.wire().await?;
        let length = format!(
            "{JSON}expect: 100-continue\r\ncontent-length: {}\r\n",
            body.len()
        );
        wire.send(&request(operation.method, &path, &length, b""))
            .await?;
        ensure!(wire.answer().await?.status == 100, "{operation}");
        wire.send(body.as_bytes()).await?;
        target.judge(Served, operation, &wire.answer().await?)?;
        wire.expect_good_order().await?;
        // Or the request is refused, and its body need not be sent.
        for (content_type, length, status) in [
            ("text/plain", 5, 415),
            ("application/json", 256 * 1_024 + 1, 413),
        ] {
            let headers = format!(
                "content-type: {content_type}\r\nexpect: 100-continue\r\n\
                 content-length: {length}\r\n"
            );
            let mut wire = target.wire().await?;
            wire.send(&request(operation.method, &path, &headers, b""))
                .await?;
            let mut answer = wire.answer().await?;
            // Where the body is optional, the server first looks whether there is one.
            if answer.status == 100 && operation.may_be_empty() {
                answer = wire.exchange(&vec![b'x'; length]).await?;
            }
            ensure!(answer.status == status, "{operation}: {answer}");
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_no_hindrance() -> Result<()> {
    let target = Target::open().await?;
    let (small, large) = (vec![b'x'; 100], vec![b'x'; 300 * 1_024]);
    let mut cases = vec![
        ("POST", "/api/v1/nothing".to_owned(), 404),
        ("GET", "/nothing".to_owned(), 404),
        ("PUT", "/health/live".to_owned(), 405),
        ("PURGE", target.scene.messages(), 405),
        ("DELETE", target.scene.messages(), 405),
        ("OPTIONS", target.scene.messages(), 204),
        ("DELETE", format!("{}/7", target.scene.messages()), 404),
    ];
    for operation in OPERATIONS.iter().filter(|one| one.method == "GET") {
        cases.push(("GET", target.scene.fill(operation.path), operation.status));
        cases.push(("HEAD", target.scene.fill(operation.path), operation.status));
    }
    for (method, path, status) in cases {
        for (body, headers) in [
            (&small, JSON),
            (&small, "content-type: text/plain\r\n"),
            (&small, ""),
            (&large, JSON),
        ] {
            let whole = request(method, &path, headers, body);
            expect_status(&target, &whole, status).await?;
            let chunks = chunked(method, &path, headers, body, 10_000);
            expect_status(&target, &chunks, status).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_delete_deletes_whatever_its_body_says() -> Result<()> {
    let mut target = Target::open().await?;
    let application = target.scene.application.clone();
    for (number, body) in ["{}", "{", r#"{"force": true}"#, "x"]
        .into_iter()
        .enumerate()
    {
        let chat = target.stage.chat(&application).await?;
        assert_eq!(chat, format!("{}/{}", application.chats(), number + 2));
        let bytes = request("DELETE", &chat, JSON, body.as_bytes());
        expect_status(&target, &bytes, 204).await?;
        expect_status(&target, &request("GET", &chat, "", b""), 404).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_body_leaves_the_connection_in_good_order() -> Result<()> {
    let target = Target::open().await?;
    for operation in forms() {
        let path = target.scene.fill(operation.path);
        for size in [1, 1_000, 300 * 1_024, 900 * 1_024] {
            let body = vec![b'x'; size];
            let status = if size > 256 * 1_024 { 413 } else { 400 };
            for (headers, status) in [(JSON, status), ("content-type: text/plain\r\n", 415)] {
                let whole = request(operation.method, &path, headers, &body);
                expect_status(&target, &whole, status).await?;
                let chunks = chunked(operation.method, &path, headers, &body, 10_000);
                expect_status(&target, &chunks, status).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_body_that_ends_early_creates_nothing() -> Result<()> {
    let target = Target::open().await?;
    for operation in forms() {
        let (path, body) = (
            target.scene.fill(operation.path),
            operation.body.unwrap_or_default(),
        );
        let length = format!("{JSON}content-length: {}\r\n", body.len() + 1);
        let head = request(operation.method, &path, &length, b"");
        let chunks = chunked(operation.method, &path, JSON, body.as_bytes(), 5);
        let cut = [
            [&head, body.as_bytes()].concat(),
            head.clone(),
            chunks[..chunks.len() - 5].to_vec(),
            chunks[..chunks.len() - 12].to_vec(),
        ];
        for bytes in cut {
            let mut wire = target.wire().await?;
            wire.send(&bytes).await?;
            wire.finish().await?;
            // Either the connection ends without an answer, or the answer says why.
            if let Ok(answer) = wire.answer().await {
                expect_problem(&answer, 400, "malformed_json")?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_their_order() -> Result<()> {
    let mut target = Target::open().await?;
    let (messages, operation) = (target.scene.messages(), creating()?);
    let mut bytes = Vec::new();
    for index in 0..50 {
        let headers = format!("{JSON}x-request-id: {index}\r\n");
        let body = format!("{{\"body\": \"line {index}\"}}");
        bytes.extend(match index % 5 {
            0 => request("POST", &messages, &headers, b"{"),
            1 => request("GET", "/health/live", &headers, b""),
            2 => chunked("POST", &messages, &headers, body.as_bytes(), 7),
            3 => request("HEAD", &messages, &headers, b""),
            _ => request("POST", &messages, &headers, body.as_bytes()),
        });
    }
    let mut wire = target.wire().await?;
    wire.send(&bytes).await?;
    for index in 0..50 {
        let answer = if index % 5 == 3 {
            wire.answer_to_head().await?
        } else {
            wire.answer().await?
        };
        let id = answer.header("x-request-id").context("an id")?;
        assert_eq!(id, index.to_string());
        match index % 5 {
            0 => drop(expect_problem(&answer, 400, "malformed_json")?),
            1 | 3 => assert_eq!(answer.status, 200),
            _ => {
                target.judge(Served, operation, &answer)?;
                let message: Value = answer.json()?;
                assert_eq!(message["body"], format!("line {index}"));
                assert_eq!(message["number"], target.messages);
            }
        }
    }
    wire.expect_good_order().await?;
    target.expect_unharmed().await
}

#[tokio::test]
async fn http_1_0_is_answered_and_its_connection_ended() -> Result<()> {
    let mut target = Target::open().await?;
    let (messages, operation) = (target.scene.messages(), creating()?);
    let mut wire = target.wire().await?;
    let answer = wire.exchange(b"GET /health/live HTTP/1.0\r\n\r\n").await?;
    ensure!(answer.status == 200 && !answer.body.is_empty(), "{answer}");
    ensure!(
        answer.header("transfer-encoding").is_none(),
        "HTTP/1.0 has no chunks"
    );
    wire.expect_end().await?;
    let body = r#"{"body": "a"}"#;
    let bytes = format!(
        "POST {messages} HTTP/1.0\r\n{JSON}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wire = target.wire().await?;
    target.judge(Served, operation, &wire.exchange(bytes.as_bytes()).await?)?;
    wire.expect_end().await?;
    target.expect_unharmed().await
}

#[tokio::test]
async fn who_wants_the_connection_closed_gets_it_closed() -> Result<()> {
    let target = Target::open().await?;
    for path in ["/health/live", "/nothing"] {
        let mut wire = target.wire().await?;
        wire.exchange(&request("GET", path, "connection: close\r\n", b""))
            .await?;
        wire.expect_end().await?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn two_framings_of_one_body_smuggle_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    let (messages, operation) = (target.scene.messages(), creating()?);
    let body = r#"{"body": "a"}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let smuggled = request("DELETE", &target.scene.chat(), "", b"");
    for headers in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 999\r\n",
    ] {
        let head = request("POST", &messages, &format!("{JSON}{headers}"), b"");
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&[&head, chunks.as_bytes()].concat()).await?;
        // Transfer-Encoding wins, or the request is refused: RFC 9112 allows both.
        if answer.status == 201 {
            target.judge(Served, operation, &answer)?;
            wire.expect_good_order().await?;
        } else {
            ensure!(answer.status == 400, "{headers:?}: {answer}");
            wire.expect_end().await?;
        }
    }
    // A body whose end is unclear is refused, and what follows it is not taken for a request.
    for headers in [
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: 4, 5\r\n",
        "content-length: +4\r\n",
        "content-length: -4\r\n",
        "content-length: 0x4\r\n",
        "content-length: 4 4\r\n",
        "content-length: four\r\n",
        "content-length: \r\n",
        "content-length: 18446744073709551616\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
    ] {
        let head = request("POST", &messages, &format!("{JSON}{headers}"), b"");
        let mut wire = target.wire().await?;
        let bytes = [&head, chunks.as_bytes(), &smuggled].concat();
        let answer = wire.exchange(&bytes).await.context(headers)?;
        ensure!(
            matches!(answer.status, 400 | 415 | 501),
            "{headers:?}: {answer}"
        );
        wire.expect_end().await.context(headers)?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn broken_chunks_create_nothing() -> Result<()> {
    let target = Target::open().await?;
    let messages = target.scene.messages();
    let head = format!("{JSON}transfer-encoding: chunked\r\n");
    let head = request("POST", &messages, &head, b"");
    for chunks in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
    ] {
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&[&head, chunks.as_bytes()].concat()).await;
        let answer = answer.with_context(|| format!("{chunks:?}"))?;
        ensure!(answer.status == 400, "{chunks:?}: {answer}");
        expect_discretion(&answer)?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_http_is_refused_or_hung_up_on() -> Result<()> {
    let target = Target::open().await?;
    let zeros = [0; 1_000];
    let garbage: [&[u8]; 14] = [
        b"\r\n\r\n\r\nx\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /health/live\r\n\r\n",
        b"GET /health/live HTTP/3.0\r\n\r\n",
        b"GET /health/live http/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1 x\r\n\r\n",
        b"GET  /health/live  HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"SELECT 1;\n\n",
        &zeros,
    ];
    for bytes in garbage {
        let mut wire = target.wire().await?;
        wire.send(bytes).await?;
        wire.finish().await?;
        // Closing the connection without an answer is fine, too.
        if let Ok(answer) = wire.answer().await {
            let shown = String::from_utf8_lossy(bytes).into_owned();
            ensure!(
                answer.status == 400 || answer.status == 505,
                "{shown:?}: {answer}"
            );
            expect_discretion(&answer)?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn half_a_request_holds_nobody_up() -> Result<()> {
    let mut target = Target::open().await?;
    let (messages, operation) = (target.scene.messages(), creating()?);
    let whole = request("POST", &messages, JSON, br#"{"body": "a"}"#);
    let mut halves: Vec<Wire> = Vec::new();
    for end in [1, 4, 20, whole.len() - 20, whole.len() - 1] {
        let mut wire = target.wire().await?;
        wire.send(&whole[..end]).await?;
        halves.push(wire);
    }
    for _ in 0..3 {
        let answer = target.wire().await?.exchange(&whole).await?;
        target.judge(Served, operation, &answer)?;
    }
    // Half a request is served once the rest of it arrives.
    let last = halves.last_mut().context("a wire")?;
    let answer = last.exchange(&whole[whole.len() - 1..]).await?;
    target.judge(Served, operation, &answer)?;
    let typed = request("POST", &messages, "content-type: text/plain\r\n", b"{}");
    target.judge(Unsupported, operation, &last.exchange(&typed).await?)?;
    target.expect_unharmed().await
}
