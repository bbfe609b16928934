//! Checks error answers: every one is a problem detail with the same fields, and gives nothing away.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    client::Answer,
    program::{folder, workspace},
    stage::fields,
};

/// Words, in lower case, that would give internals of the system away.
const INSIDE: [&str; 6] = ["sql", "serde", "tantivy", "panicked", "backtrace", ".rs:"];

/// The length of an application's token.
const TOKEN: usize = 32;

/// The fields that a problem can have.
const FIELDS: [&str; 7] = [
    "code",
    "detail",
    "errors",
    "request_id",
    "status",
    "title",
    "type",
];

/// Checks that `answer` is the problem detail with this status and code, and returns it.
///
/// # Errors
///
/// Fails with what was answered where a field or header is missing or another than expected.
pub fn expect_problem(answer: &Answer, status: u16, code: &str) -> Result<Value> {
    let problem = answer.expect(status)?;
    let content_type = answer.header("content-type").unwrap_or_default();
    ensure!(
        content_type.split(';').next() == Some("application/problem+json"),
        "the content type of {answer} is `{content_type}`"
    );
    ensure!(
        problem["code"] == code,
        "expected the code `{code}`, got {answer}"
    );
    ensure!(
        problem["type"] == "about:blank",
        "the type is another in {answer}"
    );
    ensure!(
        problem["status"] == status,
        "the status is not repeated in {answer}"
    );
    for field in ["title", "detail", "request_id"] {
        let text = problem[field].as_str().unwrap_or_default();
        ensure!(!text.is_empty(), "`{field}` is missing in {answer}");
    }
    for field in fields(&problem) {
        ensure!(FIELDS.contains(&field), "`{field}` is unknown in {answer}");
    }
    ensure!(
        problem["request_id"].as_str() == answer.header("x-request-id"),
        "the request id differs from the header in {answer}"
    );
    expect_way_out(answer)?;
    expect_discretion(answer)?;
    Ok(problem)
}

/// Checks that `answer` is the one that unknown and deleted things get.
///
/// # Errors
///
/// As for [`expect_problem`].
pub fn expect_not_found(answer: &Answer) -> Result<()> {
    expect_problem(answer, 404, "not_found").map(drop)
}

/// Checks that `answer` is a 422 that puts the fault at `field`.
///
/// # Errors
///
/// As for [`expect_problem`], and where no error names the field with a message.
pub fn expect_fault(answer: &Answer, field: &str) -> Result<()> {
    let problem = expect_problem(answer, 422, "invalid")?;
    let faults = problem["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let named = faults.iter().any(|fault| {
        let name = fault["field"].as_str().unwrap_or_default();
        let message = fault["message"].as_str().unwrap_or_default();
        name.eq_ignore_ascii_case(field) && !message.is_empty()
    });
    ensure!(named, "no error names `{field}` in {answer}");
    Ok(())
}

/// Checks that `answer` gives no internals of the system away.
///
/// # Errors
///
/// Fails with the first word that does.
pub fn expect_discretion(answer: &Answer) -> Result<()> {
    let text = String::from_utf8_lossy(&answer.body);
    // Tokens are left out: they are random, and so may contain any short word.
    let pieces = text.split_inclusive(|letter: char| !letter.is_alphanumeric());
    let said = pieces.filter(|piece| piece.len() < TOKEN);
    let text = said.collect::<String>().to_lowercase();
    for word in INSIDE {
        ensure!(!text.contains(word), "`{word}` stands in {answer}");
    }
    for path in [workspace(), folder()] {
        let path = path.to_string_lossy().to_lowercase();
        ensure!(!text.contains(&path), "`{path}` stands in {answer}");
    }
    Ok(())
}

/// Checks for the header that tells a client what to do next, where the status asks for one.
fn expect_way_out(answer: &Answer) -> Result<()> {
    let is_right = match answer.status {
        401 => answer
            .header("www-authenticate")
            .is_some_and(|way| way.starts_with("Bearer")),
        405 => answer.header("allow").is_some(),
        429 | 503 => answer
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
        _ => true,
    };
    ensure!(is_right, "a header is missing with {answer}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    #[test]
    fn a_word_of_the_inside_is_noticed_unless_it_stands_in_a_token() {
        let answer = |body: &str| Answer {
            status: 200,
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        };
        let token = "I13rHZAkOMkEZFdWbbtvSBStL0SQLG4C";
        for discreet in ["{}", "the body must not be blank", token] {
            expect_discretion(&answer(discreet)).unwrap();
        }
        for inside in [
            "near \"x\": SQL logic error",
            "rusqlite",
            "serde_json",
            "at lib.rs:7:1",
        ] {
            let body = format!("{{\"token\": \"{token}\", \"detail\": \"{inside}\"}}");
            assert!(expect_discretion(&answer(&body)).is_err(), "{inside}");
        }
    }
}
