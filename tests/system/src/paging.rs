//! Reads lists page by page, following `next`, and checks each page's form.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{client::Client, stage::fields};

/// More pages than any list of a test has.
const MOST: usize = 10_000;

/// Reads the list at `path` to its end and returns its items, page by page.
///
/// # Errors
///
/// Fails where a page has another form than the contract says, or the pages do not end.
pub async fn pages(client: &mut Client, path: &str) -> Result<Vec<Vec<Value>>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        ensure!(pages.len() < MOST, "`{path}` does not end");
        let (items, rest) = page(client, &path).await?;
        pages.push(items);
        next = rest;
    }
    Ok(pages)
}

/// Reads the list at `path` to its end and returns all its items.
///
/// # Errors
///
/// As for [`pages`].
pub async fn items(client: &mut Client, path: &str) -> Result<Vec<Value>> {
    Ok(pages(client, path).await?.concat())
}

/// Reads one page and returns its items and the address of the next page.
///
/// # Errors
///
/// Fails where the page has another form than the contract says.
pub async fn page(client: &mut Client, path: &str) -> Result<(Vec<Value>, Option<String>)> {
    let answer = client.get(path).await?;
    let mut page = answer.expect(200).with_context(|| path.to_owned())?;
    ensure!(
        fields(&page) == ["items", "next"],
        "`{path}` answers no page, but {answer}"
    );
    let Value::Array(items) = page["items"].take() else {
        anyhow::bail!("the items of `{path}` are no list in {answer}");
    };
    let next = match &page["next"] {
        Value::Null => None,
        Value::String(next) if next.starts_with("/api/v1/") => Some(next.clone()),
        next => anyhow::bail!("`{path}` leads on to {next}"),
    };
    let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
    ensure!(
        answer.header("link") == link.as_deref(),
        "the Link of `{path}` is {:?}, and `next` is {next:?}",
        answer.header("link")
    );
    Ok((items, next))
}
