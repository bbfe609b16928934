//! Odd query strings: a wrong parameter is reported, and an unknown one ignored.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    operations::{OPERATIONS, Operation},
    problem::expect_fault,
};

use crate::{Fault, Served, Target};

/// The list that becomes a search where it is given a `query`.
const MESSAGES: &str = "/api/v1/applications/{token}/chats/{chat}/messages";

/// What is no whole number from 0 to 2^64 - 1, and so neither a bound nor a limit.
const NO_NUMBERS: [&str; 31] = [
    "",
    "-1",
    "-0",
    "+1",
    "1+",
    "%2B1",
    "%201",
    "1%20",
    "1%00",
    "%00",
    "1.0",
    "1.",
    "1e1",
    "0x1",
    "1_0",
    "1,2",
    "1;2",
    "1'",
    "abc",
    "null",
    "true",
    "NaN",
    "%FF",
    "1%FF",
    "%C0%B1",
    "%EF%BC%91",
    "%D9%A1",
    "%",
    "%zz",
    "18446744073709551616",
    "99999999999999999999999999",
];

/// Returns the operations that have this parameter.
fn with(name: &str) -> impl Iterator<Item = &'static Operation> {
    let operations = OPERATIONS.iter();
    operations.filter(move |operation| operation.parameters.contains(&name))
}

/// Makes a GET of the operation's path with this query.
fn call(target: &Target, operation: &Operation, query: &str) -> Result<Call> {
    Call::get(&format!("{}?{query}", target.scene.fill(operation.path)))
}

#[tokio::test]
async fn what_is_no_number_is_told() -> Result<()> {
    let mut target = Target::open().await?;
    for name in ["after", "before", "limit"] {
        for operation in with(name) {
            for value in NO_NUMBERS {
                let call = call(&target, operation, &format!("{name}={value}"))?;
                target.expect(Fault(name), operation, &call).await?;
            }
            let bare = call(&target, operation, name)?;
            target.expect(Fault(name), operation, &bare).await?;
            let (most, zero) = match name {
                "limit" => (operation.largest_limit(), Fault(name)),
                _ => (u64::MAX, Served),
            };
            for (value, verdict) in [
                ("0".to_owned(), zero),
                ("1".to_owned(), Served),
                ("%31".to_owned(), Served),
                (most.to_string(), Served),
                (format!("{}", u128::from(most) + 1), Fault(name)),
            ] {
                let call = call(&target, operation, &format!("{name}={value}"))?;
                target.expect(verdict, operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn an_order_is_one_of_two_words() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in with("order") {
        for wrong in [
            "",
            "ASC",
            "Desc",
            "ascending",
            "asc%20",
            "%20asc",
            "asc,desc",
            "1",
            "%FF",
        ] {
            let call = call(&target, operation, &format!("order={wrong}"))?;
            target.expect(Fault("order"), operation, &call).await?;
        }
        for right in ["asc", "desc", "%64esc"] {
            let call = call(&target, operation, &format!("order={right}"))?;
            target.expect(Served, operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_cursor_is_none_of_the_clients_making() -> Result<()> {
    let mut target = Target::open().await?;
    let long = "a".repeat(10_000);
    for operation in with("cursor") {
        // Its cursor is the id of a dead letter, which is opaque, so whatever is not empty may be one.
        if operation.path.ends_with("dead-letters") {
            continue;
        }
        for wrong in [
            "",
            "0",
            "-1",
            "abc",
            "null",
            "%00",
            "%FF",
            "eyJhIjoxfQ==",
            "..",
            "%F0%9F%91%8D",
            &long,
        ] {
            let call = call(&target, operation, &format!("cursor={wrong}"))?;
            target.expect(Fault("cursor"), operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_parameter_that_is_given_twice_is_told() -> Result<()> {
    let mut target = Target::open().await?;
    let list = Operation::find("GET", MESSAGES)?;
    for (name, right) in [
        ("after", "1"),
        ("before", "9"),
        ("limit", "5"),
        ("order", "asc"),
        ("query", "***"),
    ] {
        let search = Some(list).filter(|_| name == "query");
        for operation in with(name).chain(search) {
            for query in [
                format!("{name}={right}&{name}={right}"),
                format!("{name}={right}&{name}=another"),
                format!("{name}={right}&x=1&{name}="),
                format!("{name}={right}&{name}"),
                format!("{name}=&%{:02X}{}={right}", name.as_bytes()[0], &name[1..]),
            ] {
                let call = call(&target, operation, &query)?;
                target.expect(Fault(name), operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn all_parameters_at_fault_are_told_at_once() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in with("order") {
        let call = call(
            &target,
            operation,
            "after=-1&before=&limit=0&order=up&limit=1",
        )?;
        let answer = target.expect(Fault("after"), operation, &call).await?;
        for name in ["before", "limit", "order"] {
            expect_fault(&answer, name)?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_nobody_knows_is_nothing() -> Result<()> {
    let mut target = Target::open().await?;
    let long = format!("x={}", "a".repeat(20_000));
    let many = "x=1&".repeat(5_000);
    for operation in with("limit") {
        for query in [
            "",
            "&",
            "&&&",
            "=",
            "=5",
            "?",
            "??limit=0",
            "x",
            "x=",
            "x=1&x=2",
            "LIMIT=0",
            "limit%00=0",
            "limit%20=0",
            "limit[]=0",
            "%6Cimits=0",
            "x=%FF",
            "%FF=1",
            "%FF",
            "%",
            "%zz=%",
            "x=%00",
            "x==",
            "x=&=x",
            "'=';--",
            "id=1",
            &long,
            &many,
        ] {
            let call = call(&target, operation, query)?;
            target.expect(Served, operation, &call).await?;
        }
        // The name of a parameter may be percent-encoded, too.
        let call = call(&target, operation, "%6Cimit=0")?;
        target.expect(Fault("limit"), operation, &call).await?;
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_query_that_is_no_text_is_told() -> Result<()> {
    let mut target = Target::open().await?;
    let list = Operation::find("GET", MESSAGES)?;
    for operation in with("query").chain([list]) {
        for wrong in [
            "%FF",
            "***%FF",
            "%C0%80",
            "%ED%A0%80",
            "%F0%9F%92",
            "%00",
            "***%00",
        ] {
            let call = call(&target, operation, &format!("query={wrong}"))?;
            target
                .expect(Fault("query"), operation, &call)
                .await
                .context(wrong)?;
        }
    }
    target.expect_unharmed().await
}
