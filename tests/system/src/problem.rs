//! Checks error answers: every one is a problem detail with the same fields.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::client::Answer;

/// Checks that `answer` is the problem detail with this status and code, and returns it.
///
/// # Errors
///
/// Fails with what was answered where a field is missing or another than expected.
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
    ensure!(
        problem["request_id"].as_str() == answer.header("x-request-id"),
        "the request id differs from the header in {answer}"
    );
    Ok(problem)
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
