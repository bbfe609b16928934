//! Odd paths: what is not a number finds nothing, and a path is taken literally.

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    operations::{OPERATIONS, Operation, Scene},
    problem::{expect_discretion, expect_not_found},
    wire::request,
};

use crate::{NotFound, Served, Target};

/// What is no plain positive integer, or not the number of anything that exists.
const NO_NUMBERS: [&str; 58] = [
    "0",
    "00",
    "-0",
    "-1",
    "01",
    "001",
    "+1",
    "1.0",
    "1.",
    ".1",
    "1e0",
    "1e3",
    "0x1",
    "0b1",
    "1_0",
    "1,0",
    "1'",
    "1;a=b",
    "1&2",
    "1=1",
    "abc",
    "a",
    "null",
    "true",
    "NaN",
    "one",
    "Search",
    "SEARCH",
    "*",
    "~",
    "$",
    "@1",
    "2",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "36893488147419103233",
    "99999999999999999999999999999999999999",
    "%00",
    "1%00",
    "%001",
    "%0A1",
    "1%0A",
    "%20",
    "1%20",
    "+1+",
    "%2B1",
    "%2D1",
    "%30",
    "%30%31",
    "%EF%BC%91",
    "%D9%A1",
    "%C2%B9",
    "%FF",
    "1%FF",
    "%",
    "1%zz",
];

/// Path segments that must not be resolved or decoded into another path.
const NO_WAYS: [&str; 14] = [
    ".",
    "..",
    "%2E",
    "%2E%2E",
    "%2e%2e%2f",
    "..%2F1",
    "1%2F",
    "%2F1",
    "1%2Fmessages",
    "1%2fmessages%2f1",
    "1%5Cmessages",
    "1%3Flimit=1",
    "1%23",
    "%252e%252e",
];

fn with(part: &str) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(move |operation| operation.path.contains(part))
}

/// Returns the scene with one part of its paths replaced.
fn scene_with(scene: &Scene, part: &str, value: &str) -> Scene {
    let mut other = scene.clone();
    let place = match part {
        "{token}" => &mut other.application.token,
        "{chat}" => &mut other.chat,
        "{message}" => &mut other.message,
        _ => &mut other.letter,
    };
    value.clone_into(place);
    other
}

#[tokio::test]
async fn what_is_no_number_of_a_thing_finds_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    let long = "1".repeat(5_000);
    for part in ["{chat}", "{message}"] {
        for number in NO_NUMBERS.into_iter().chain(NO_WAYS).chain([&*long]) {
            let scene = scene_with(&target.scene, part, number);
            for operation in with(part) {
                target
                    .expect(NotFound, operation, &operation.call(&scene)?)
                    .await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_token_finds_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    let token = target.scene.application.token.clone();
    let long = "a".repeat(5_000);
    let (short, twice) = (&token[1..], token.repeat(2));
    let with_nul = format!("{token}%00");
    let with_slash = format!("{token}%2Fchats");
    let with_space = format!("%20{token}");
    let other_case = token.to_uppercase();
    let tokens = [
        short,
        &twice,
        &with_nul,
        &with_slash,
        &with_space,
        &other_case,
        &long,
    ];
    for token in tokens
        .into_iter()
        .chain(NO_WAYS)
        .chain(["1", "%FF", "%F0%9F%91%8D", "*"])
    {
        let scene = scene_with(&target.scene, "{token}", token);
        for operation in with("{token}") {
            target
                .expect(NotFound, operation, &operation.call(&scene)?)
                .await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_dead_letter_finds_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    let long = "a".repeat(5_000);
    for id in NO_NUMBERS.into_iter().chain(NO_WAYS).chain(["1", &long]) {
        let scene = scene_with(&target.scene, "{id}", id);
        for operation in with("{id}") {
            target
                .expect(NotFound, operation, &operation.call(&scene)?)
                .await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_letter_and_its_code_are_the_same_in_a_path() -> Result<()> {
    let mut target = Target::open().await?;
    let (token, chat) = (target.scene.application.token.clone(), target.scene.chat());
    let wanted = target.stage.read(&chat).await?;
    let first = format!("%{:02X}{}", token.as_bytes()[0], &token[1..]);
    for path in [
        chat.replace("/chats/1", "/chats/%31"),
        chat.replace(&token, &first),
    ] {
        let read = target
            .stage
            .read(&path)
            .await
            .with_context(|| path.clone())?;
        assert_eq!(read, wanted, "{path}");
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_path_is_taken_as_it_is_written() -> Result<()> {
    let target = Target::open().await?;
    let chats = target.scene.application.chats();
    for path in [
        "/api/v1/../v1/applications",
        "/api/v1/./applications",
        "/api/v1/applications/..",
        "/api/v1/applications/../chats",
        "/api/v1/applications/%2e%2e/chats",
        "/api/v1\\applications",
        "/api/v1/applications;a=b",
        "/api%2Fv1%2Fapplications",
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs/../../Cargo.toml",
        "/docs/%2e%2e/openapi.json",
        "/openapi.json%00",
        "/health/live%20",
        &format!("{chats}/../chats/1"),
        &format!("{chats}/1/../1"),
        &format!("{chats}/1/messages/../../2"),
        &format!("{chats}/1/messages/search%00"),
        &format!("{chats}%00"),
        &format!("{chats}/1;messages"),
    ] {
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&request("GET", path, "", b"")).await?;
        expect_not_found(&answer).context(path.to_owned())?;
        wire.expect_good_order().await?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_very_long_path_is_refused() -> Result<()> {
    let target = Target::open().await?;
    let chats = target.scene.application.chats();
    for length in [8_000, 30_000, 60_000] {
        let path = format!("{chats}/{}", "1".repeat(length));
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&request("GET", &path, "", b"")).await?;
        expect_not_found(&answer).with_context(|| length.to_string())?;
        wire.expect_good_order().await?;
    }
    // What exceeds the server's buffer is refused before it is routed.
    for length in [70_000, 1_000_000] {
        let path = format!("{chats}/{}", "1".repeat(length));
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&request("GET", &path, "", b"")).await?;
        ensure!(
            matches!(answer.status, 400 | 414 | 431),
            "{length}: {answer}"
        );
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_target_may_be_absolute_and_is_no_other_form() -> Result<()> {
    let mut target = Target::open().await?;
    let message = target.scene.message();
    let operation = with("{message}").next().context("an operation")?;
    let mut wire = target.wire().await?;
    let absolute = format!("http://localhost{message}");
    let answer = wire.exchange(&request("GET", &absolute, "", b"")).await?;
    target.judge(Served, operation, &answer)?;
    wire.expect_good_order().await?;
    for (method, odd) in [
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("CONNECT", "test:80"),
        ("CONNECT", &message),
        ("GET", "api/v1/applications"),
        ("GET", ""),
        ("GET", "//"),
        ("GET", "http://"),
        ("GET", "/a b"),
        ("GET", "/a\tb"),
        ("GET", "/\u{1}"),
        ("GET", "/é"),
        ("GET", "/api/v1/applications?é"),
        ("GET", "/<>\"`{}|^"),
        ("G\0T", "/"),
        ("G@T", "/"),
        ("", "/"),
    ] {
        let mut wire = target.wire().await?;
        let answer = wire.exchange(&request(method, odd, "", b"")).await?;
        let is_refused = matches!(answer.status, 400 | 404 | 405);
        // A query string that nobody reads may hold any character.
        let is_ignored = answer.status == 200 && odd.contains('?');
        ensure!(is_refused || is_ignored, "{method} {odd}: {answer}");
        expect_discretion(&answer)?;
    }
    target.expect_unharmed().await
}
