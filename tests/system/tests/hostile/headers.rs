//! Odd headers: bytes outside ASCII, duplicates, and lines that are no headers.

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Call,
    operations::{OPERATIONS, Operation},
    problem::expect_discretion,
    wire::request,
};
use hyper::header::CONTENT_TYPE;

use crate::{Fault, Served, Target, Unsupported, call_with, forms};

const KEY: &str = "idempotency-key";

/// Returns the operations that take an idempotency key.
fn keyed() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|operation| operation.takes_key)
}

#[tokio::test]
async fn another_content_type_is_another_content_type() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let right = operation.call(&target.scene)?;
        let wrong: [&[u8]; 22] = [
            b"",
            b"json",
            b"application",
            b"application/",
            b"/json",
            b"application/jsonp",
            b"application/json5",
            b"application/ld+json",
            b"application/vnd.api+json",
            b"application/problem+json",
            b"application/x-json",
            b"application json",
            b"application/json, text/plain",
            b"text/json",
            b"text/plain; application/json",
            b"text/plain;charset=application/json",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=a",
            b"*/*",
            b"application/*",
            "application/jsön".as_bytes(),
            b"\xff",
        ];
        for content_type in wrong {
            let call = right.clone().with_header("content-type", content_type)?;
            target
                .expect(Unsupported, operation, &call)
                .await
                .with_context(|| String::from_utf8_lossy(content_type).into_owned())?;
        }
        for content_type in [
            "application/json",
            "APPLICATION/JSON",
            "application/json;charset=utf-8",
            "application/json; charset=\"UTF-8\"",
            "application/json ; x=y",
            "application/json;",
        ] {
            let call = right.clone().with_header("content-type", content_type)?;
            target
                .expect(Served, operation, &call)
                .await
                .context(content_type)?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn two_different_content_types_are_none() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        for (one, other) in [
            ("application/json", "text/plain"),
            ("text/plain", "application/json"),
            ("application/json", ""),
        ] {
            let call = operation
                .call(&target.scene)?
                .with_header("content-type", one)?;
            let call = call.with_further_header("content-type", other)?;
            target
                .expect(Unsupported, operation, &call)
                .await
                .with_context(|| format!("`{one}` and `{other}`"))?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_body_that_is_encoded_further_is_not_read() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        for encoding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x"] {
            let call = operation
                .call(&target.scene)?
                .with_header("content-encoding", encoding)?;
            target
                .expect(Unsupported, operation, &call)
                .await
                .context(encoding)?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_key_is_visible_and_sent_once() -> Result<()> {
    let mut target = Target::open().await?;
    let too_long = "x".repeat(256);
    for operation in keyed() {
        let right = operation.call(&target.scene)?;
        let wrong: [&[u8]; 10] = [
            b"",
            b"two words",
            b"tab\tbed",
            b"a, b",
            "é".as_bytes(),
            "👍".as_bytes(),
            b"\xff",
            b"a\x80",
            b"a\xa0",
            too_long.as_bytes(),
        ];
        for key in wrong {
            let call = right.clone().with_key(key)?;
            target
                .expect(Fault("Idempotency-Key"), operation, &call)
                .await?;
        }
        for (one, other) in [("a", "b"), ("a", "a"), ("", "a"), ("a", "")] {
            let call = right
                .clone()
                .with_key(one)?
                .with_further_header(KEY, other)?;
            target
                .expect(Fault("Idempotency-Key"), operation, &call)
                .await
                .with_context(|| format!("`{one}` and `{other}`"))?;
        }
        // The header's name is case-insensitive, and white space around the key is not part of it.
        let path = target.scene.fill(operation.path);
        for (index, name) in ["IDEMPOTENCY-KEY", "Idempotency-Key"]
            .into_iter()
            .enumerate()
        {
            let key = format!("key-{}-{index}", operation.path.len());
            let header = format!("content-type: application/json\r\n{name}:  {key} \t\r\n");
            let body = operation.body.unwrap_or_default().as_bytes();
            let mut wire = target.wire().await?;
            let answer = wire
                .exchange(&request("POST", &path, &header, body))
                .await?;
            target.judge(Served, operation, &answer)?;
            let again = right.clone().with_key(&key)?;
            let again = target.expect(Served, operation, &again).await?;
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.body, answer.body);
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_key_is_nothing_where_none_is_taken() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms().filter(|operation| !operation.takes_key) {
        for key in ["once", "two words", "é", ""] {
            let call = operation.call(&target.scene)?.with_key(key)?;
            let answer = target.expect(Served, operation, &call).await?;
            assert_eq!(answer.header("idempotency-replayed"), None);
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn headers_that_nobody_asked_for_change_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        for (name, value) in [
            ("accept", "text/html"),
            ("accept", "application/xml;q=1, */*;q=0"),
            ("accept-charset", "utf-7"),
            ("accept-encoding", "gzip, br"),
            ("x-http-method-override", "DELETE"),
            ("x-method-override", "DELETE"),
            ("x-original-url", "/api/v1/admin/dead-letters"),
            ("x-rewrite-url", "/health/live"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-for", "'; DROP TABLE a; --"),
            ("forwarded", "for=\"_\\\";host=é"),
            ("if-match", "\"a\""),
            ("if-none-match", "*"),
            ("if-modified-since", "yesterday"),
            ("range", "bytes=0-0"),
            ("origin", "null"),
            ("upgrade", "h2c"),
            ("cookie", "a=\"; DROP; \""),
            ("x-request-id", "two words"),
            ("traceparent", "00-zz-zz-zz"),
        ] {
            let call = operation.call(&target.scene)?.with_header(name, value)?;
            let answer = target.expect(Served, operation, &call).await?;
            let content_type = answer.headers.get(CONTENT_TYPE);
            ensure!(
                content_type.is_some_and(|kind| kind == "application/json"),
                "{call}: {answer}"
            );
            ensure!(
                answer.header("content-encoding").is_none(),
                "{call} is answered encoded"
            );
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn an_id_that_is_sent_twice_is_taken_once_or_made_anew() -> Result<()> {
    let mut target = Target::open().await?;
    let operation = keyed().next().context("an operation")?;
    let call = call_with(operation, &target.scene, "{}")?.with_header("x-request-id", "one")?;
    let call = Call::with_further_header(call, "x-request-id", "other")?;
    let answer = target.expect(Served, operation, &call).await?;
    let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
    ensure!(ids.len() == 1, "{ids:?}");
    let id = answer.header("x-request-id").unwrap_or_default();
    ensure!(
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()),
        "`{id}`"
    );
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_header_is_no_request() -> Result<()> {
    let target = Target::open().await?;
    let many = "x: y\r\n".repeat(5_000);
    let long = format!("x: {}\r\n", "y".repeat(300_000));
    for lines in [
        "no colon\r\n",
        ": no name\r\n",
        "sp ace: x\r\n",
        "space : x\r\n",
        "é: x\r\n",
        "nul: a\0b\r\n",
        "return: a\rb\r\n",
        "control: a\u{1}b\r\n",
        "fold: a\r\n b\r\n",
        " first: a\r\n",
        "(comment): a\r\n",
        &many,
        &long,
    ] {
        let mut wire = target.wire().await?;
        let answer = wire
            .exchange(&request("GET", "/health/live", lines, b""))
            .await?;
        ensure!(matches!(answer.status, 400 | 431), "{lines:.50}: {answer}");
        expect_discretion(&answer)?;
        wire.expect_end()
            .await
            .with_context(|| format!("{lines:.50}"))?;
    }
    target.expect_unharmed().await
}
