//! Requests of the largest size, and of one byte more.

use anyhow::{Context as _, Result};
use chat_system::{
    operations::Operation,
    wire::{chunked, request},
};

use crate::{Malformed, Served, Target, TooLarge, Unsupported, first_field, forms};

/// The most bytes of a body.
const MOST: usize = 256 * 1_024;

const JSON: &str = "content-type: application/json\r\n";

/// Returns a right body that is padded to `size` bytes.
fn filled(operation: &Operation, size: usize) -> Vec<u8> {
    let mut body = operation.body.unwrap_or_default().as_bytes().to_vec();
    body.resize(size, b' ');
    body
}

#[tokio::test]
async fn the_limit_is_the_same_with_a_length_and_in_chunks() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let path = target.scene.fill(operation.path);
        for (size, verdict) in [
            (MOST - 1, Served),
            (MOST, Served),
            (MOST + 1, TooLarge),
            (2 * MOST, TooLarge),
        ] {
            let body = filled(operation, size);
            for bytes in [
                request(operation.method, &path, JSON, &body),
                chunked(operation.method, &path, JSON, &body, size),
                chunked(operation.method, &path, JSON, &body, 10_000),
            ] {
                let mut wire = target.wire().await?;
                let answer = wire.exchange(&bytes).await?;
                target
                    .judge(verdict, operation, &answer)
                    .and(wire.expect_good_order().await)
                    .with_context(|| format!("{operation} with {size} bytes"))?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_too_large_is_too_large_whatever_it_says() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let path = target.scene.fill(operation.path);
        let long = format!(
            "{{\"{}\": \"{}\"}}",
            first_field(operation),
            "a".repeat(MOST)
        );
        for body in [
            vec![b'{'; MOST + 1],
            vec![b'['; MOST + 1],
            vec![0; MOST + 1],
            vec![0xff; MOST + 1],
            long.into_bytes(),
        ] {
            let mut wire = target.wire().await?;
            let bytes = request(operation.method, &path, JSON, &body);
            let answer = wire.exchange(&bytes).await?;
            target.judge(TooLarge, operation, &answer)?;
            wire.expect_good_order().await?;
            let bytes = request(
                operation.method,
                &path,
                "content-type: text/plain\r\n",
                &body,
            );
            let mut wire = target.wire().await?;
            let answer = wire.exchange(&bytes).await?;
            target.judge(Unsupported, operation, &answer)?;
            wire.expect_good_order().await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_body_may_come_in_the_smallest_pieces() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let (path, body) = (target.scene.fill(operation.path), filled(operation, 300));
        let mut wire = target.wire().await?;
        let bytes = chunked(operation.method, &path, JSON, &body, 1);
        let answer = wire.exchange(&bytes).await?;
        target.judge(Served, operation, &answer)?;
        wire.expect_good_order().await?;
        // Byte by byte on the wire, too.
        for byte in request(operation.method, &path, JSON, &body) {
            wire.send(&[byte]).await?;
        }
        target.judge(Served, operation, &wire.answer().await?)?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn chunks_may_carry_more_than_the_body() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let path = target.scene.fill(operation.path);
        let head = format!("{JSON}transfer-encoding: chunked\r\n");
        let head = request(operation.method, &path, &head, b"");
        let body = operation.body.unwrap_or_default();
        let size = body.len();
        for (chunks, verdict) in [
            (
                format!("{size:x};a=b;c=\"d\"\r\n{body}\r\n0\r\n\r\n"),
                Served,
            ),
            (
                format!("{size:X}\r\n{body}\r\n0\r\nx-trailer: a\r\n\r\n"),
                Served,
            ),
            (format!("000{size:x}\r\n{body}\r\n000\r\n\r\n"), Served),
            (
                "0\r\n\r\n".to_owned(),
                if operation.may_be_empty() {
                    Served
                } else {
                    Malformed
                },
            ),
        ] {
            let mut wire = target.wire().await?;
            let answer = wire.exchange(&[&head, chunks.as_bytes()].concat()).await?;
            target
                .judge(verdict, operation, &answer)
                .and(wire.expect_good_order().await)
                .with_context(|| format!("{operation} with {chunks:?}"))?;
        }
    }
    target.expect_unharmed().await
}
