//! Search without a query, which lists every message, and the parameters of every search.

use anyhow::{Context as _, Result};
use chat_system::{
    client::{Call, percent_encoded},
    operations::Scene,
    paging,
    problem::{expect_fault, expect_not_found, expect_problem},
    stage::{Stage, eventually, fields, item_numbers},
};
use hyper::Method;
use serde_json::{Value, json};

/// Search across the system.
const SEARCH: &str = "/api/v1/messages/search";

/// The queries that stand for none: absent, empty, and blank.
const BLANKS: [&str; 5] = [
    "",
    "?query=",
    "?query=%20",
    "?query=+%09",
    "?query=%E3%80%80",
];

/// Opens a stage with one chat of `count` messages, and returns their path too.
async fn stage_with_messages(count: usize) -> Result<(Stage, String)> {
    let (mut stage, messages) = Stage::open_with_chat().await?;
    for number in 1..=count {
        let message = json!({"body": format!("line {number}"), "sender": "ada"});
        stage.create(&messages, &message).await?;
    }
    Ok((stage, messages))
}

/// Returns messages as the hits that they are in a search without a query.
fn unranked(messages: &[Value]) -> Vec<Value> {
    let hit = |message: &Value| {
        let mut hit = message.clone();
        hit["matching_score"] = json!(0.0);
        hit["highlight"] = Value::Null;
        hit
    };
    messages.iter().map(hit).collect()
}

/// Makes every score a float, since the server may write 0 as `0` or as `0.0`.
fn with_fractions(mut hits: Vec<Value>) -> Vec<Value> {
    for hit in &mut hits {
        if let Some(score) = hit["matching_score"].as_f64() {
            hit["matching_score"] = json!(score);
        }
    }
    hits
}

/// Returns a call for each way of searching the chat without a query.
fn ways_without_a_query(messages: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for blank in BLANKS {
        calls.push(Call::get(&format!("{messages}/search{blank}"))?);
        if !blank.is_empty() {
            calls.push(Call::get(&format!("{messages}{blank}"))?);
        }
    }
    for body in [
        json!({}),
        json!({"query": ""}),
        json!({"query": " \t\u{3000}"}),
    ] {
        calls.push(Call::post(&format!("{messages}/search"), &body)?);
    }
    Ok(calls)
}

#[tokio::test]
async fn without_a_query_every_message_is_found_by_number_with_score_zero() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(7).await?;
    stage.delete(&format!("{messages}/3")).await?;
    let body = json!({"body": "changed"});
    stage
        .change(&Method::PATCH, &format!("{messages}/5"), &body)
        .await?;
    let wanted = unranked(&paging::items(&mut stage.client, &messages).await?);
    assert_eq!(item_numbers(&wanted), [1, 2, 4, 5, 6, 7]);
    for call in ways_without_a_query(&messages)? {
        let mut page = stage.client.send(&call).await?.expect(200)?;
        let Value::Array(hits) = page["items"].take() else {
            anyhow::bail!("{call} answers no page");
        };
        let names = [
            "body",
            "created_at",
            "highlight",
            "matching_score",
            "number",
            "sender",
            "updated_at",
        ];
        assert_eq!(fields(&hits[0]), names, "{call}");
        assert_eq!(with_fractions(hits), wanted, "{call}");
        assert_eq!(page["next"], Value::Null, "{call}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_found_without_a_query_right_after_its_creation() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..100 {
        let messages = stage.messages(&application).await?;
        let message = stage.create(&messages, &json!({"body": "first"})).await?;
        let hits = paging::items(&mut stage.client, &format!("{messages}/search")).await?;
        assert_eq!(with_fractions(hits), unranked(&[message]));
    }
    Ok(())
}

#[tokio::test]
async fn a_page_has_twenty_hits_where_no_limit_is_set() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(45).await?;
    for path in [format!("{messages}/search"), format!("{messages}?query=")] {
        let pages = paging::pages(&mut stage.client, &path).await?;
        let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [20, 20, 5], "{path}");
        let shown = item_numbers(&pages.concat());
        assert_eq!(shown, (1..=45).collect::<Vec<u64>>(), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_cursor_leads_to_the_end_whatever_the_limit() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(12).await?;
    let all = unranked(&paging::items(&mut stage.client, &messages).await?);
    for limit in [1, 3, 4, 5, 12, 100] {
        let wanted: Vec<&[Value]> = all.chunks(limit).collect();
        for path in [
            format!("{messages}/search?limit={limit}"),
            format!("{messages}?query=&limit={limit}"),
        ] {
            let pages = paging::pages(&mut stage.client, &path).await?;
            let pages: Vec<Vec<Value>> = pages.into_iter().map(with_fractions).collect();
            assert_eq!(pages, wanted, "{path}");
        }
        let body = json!({"query": " ", "limit": limit});
        let (hits, next) = search(&mut stage, &messages, &body).await?;
        assert_eq!(hits, wanted[0], "{body}");
        let rest = match next {
            Some(next) => paging::items(&mut stage.client, &next).await?,
            None => Vec::new(),
        };
        assert_eq!(with_fractions(rest), all[limit.min(12)..], "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn paging_goes_on_where_the_last_hit_was_deleted() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(7).await?;
    let (hits, next) = search(&mut stage, &messages, &json!({"limit": 3})).await?;
    assert_eq!(item_numbers(&hits), [1, 2, 3]);
    for number in [3, 4, 7] {
        stage.delete(&format!("{messages}/{number}")).await?;
    }
    let rest = paging::items(&mut stage.client, &next.context("a next page")?).await?;
    assert_eq!(item_numbers(&rest), [5, 6]);
    Ok(())
}

#[tokio::test]
async fn without_a_query_everything_in_the_system_is_found_as_it_is_listed() -> Result<()> {
    let mut stage = Stage::open().await?;
    let applications = [stage.application().await?, stage.application().await?];
    for _ in 0..2 {
        for application in applications.iter().rev() {
            let messages = stage.messages(application).await?;
            for body in ["one", "two"] {
                stage.create(&messages, &json!({"body": body})).await?;
            }
        }
    }
    let listed = eventually("eight messages are listed", || async {
        let items = paging::items(&mut stage.another_client(), "/api/v1/messages").await?;
        Ok((items.len() == 8).then_some(items))
    })
    .await?;
    for blank in BLANKS {
        let path = format!("{SEARCH}{blank}");
        let hits = paging::items(&mut stage.client, &path).await?;
        assert_eq!(with_fractions(hits), unranked(&listed), "{path}");
    }
    let pages = paging::pages(&mut stage.client, &format!("{SEARCH}?limit=3")).await?;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 2]);
    assert_eq!(with_fractions(pages.concat()), unranked(&listed));
    Ok(())
}

#[tokio::test]
async fn a_query_without_words_finds_nothing() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(3).await?;
    stage
        .create(&messages, &json!({"body": "*** ... ***"}))
        .await?;
    let empty = json!({"items": [], "next": null});
    // The last two are as long as a query may be, in one-byte and in three-byte characters.
    for query in [
        "***",
        "\"",
        "&& || !",
        &"*".repeat(1_024),
        &"…".repeat(1_024),
    ] {
        let encoded = percent_encoded(query);
        for path in [
            format!("{messages}/search?query={encoded}"),
            format!("{messages}?query={encoded}"),
            format!("{SEARCH}?query={encoded}"),
        ] {
            assert_eq!(stage.read(&path).await?, empty, "{path}");
        }
        let call = Call::post(&format!("{messages}/search"), &json!({"query": query}))?;
        let answer = stage.client.send(&call).await?;
        assert_eq!(answer.expect(200)?, empty, "{call}");
        assert_eq!(answer.header("link"), None);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_and_named() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(1).await?;
    let too_long = "*".repeat(1_025);
    let too_long_in_four_bytes = "%F0%9F%91%8D".repeat(1_025);
    for (name, value) in [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", ""),
        ("cursor", ""),
        ("cursor", "made-up"),
        ("query", &too_long),
        ("query", &too_long_in_four_bytes),
    ] {
        // On the list, only a query makes the smaller limit of search apply.
        let list = if name == "query" {
            messages.clone() + "?"
        } else {
            format!("{messages}?query=&")
        };
        for path in [
            format!("{messages}/search?{name}={value}"),
            format!("{list}{name}={value}"),
            format!("{SEARCH}?{name}={value}"),
        ] {
            let answer = stage.client.get(&path).await?;
            expect_fault(&answer, name).with_context(|| format!("{path:.200}"))?;
        }
    }
    for path in [format!("{messages}/search"), SEARCH.to_owned()] {
        stage
            .read(&format!("{path}?limit=100&colour=red&after=-1"))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_field_is_refused_and_named() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(1).await?;
    let path = format!("{messages}/search");
    let too_long = "*".repeat(1_025);
    for (field, body) in [
        ("limit", json!({"limit": 0})),
        ("limit", json!({"limit": 101})),
        ("limit", json!({"limit": -1})),
        ("limit", json!({"limit": 1.5})),
        ("limit", json!({"limit": "20"})),
        ("limit", json!({"limit": true})),
        ("limit", json!({"limit": [20]})),
        ("query", json!({"query": too_long})),
        ("query", json!({"query": 5})),
        ("query", json!({"query": false})),
        ("query", json!({"query": ["line"]})),
        ("query", json!({"query": {"match": "line"}})),
        ("cursor", json!({"cursor": "a"})),
        ("colour", json!({"colour": "red"})),
    ] {
        let answer = stage.client.post(&path, &body).await?;
        expect_fault(&answer, field).with_context(|| format!("{body:.200}"))?;
    }
    let answer = stage
        .client
        .post(&path, &json!({"query": 5, "limit": 0}))
        .await?;
    expect_fault(&answer, "query")?;
    expect_fault(&answer, "limit")?;
    for body in [json!([]), json!("line"), json!(null)] {
        let answer = stage.client.post(&path, &body).await?;
        expect_problem(&answer, 422, "invalid").with_context(|| body.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_query_makes_the_list_a_search_and_its_windows_nothing() -> Result<()> {
    let (mut stage, messages) = stage_with_messages(5).await?;
    let searched = stage.read(&format!("{messages}/search")).await?;
    for ignored in [
        "after=3",
        "before=2",
        "order=desc",
        "after=-1&before=x&order=up",
        "order=",
    ] {
        for path in [
            format!("{messages}?query=&{ignored}"),
            format!("{messages}?{ignored}&query=%20"),
        ] {
            assert_eq!(stage.read(&path).await?, searched, "{path}");
        }
        let next = format!("{messages}?query=&limit=2&{ignored}");
        let pages = paging::pages(&mut stage.client, &next).await?;
        assert_eq!(item_numbers(&pages.concat()), [1, 2, 3, 4, 5], "{next}");
    }
    // A limit that is too large for a search, but not for a list.
    let answer = stage
        .client
        .get(&format!("{messages}?query=&limit=101"))
        .await?;
    expect_fault(&answer, "limit")?;
    let listed = stage.read(&format!("{messages}?limit=101")).await?;
    assert_eq!(fields(&listed["items"][0]).len(), 5);
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_not_searched() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let chats = scene.application.chats();
    let unknown = format!("/api/v1/applications/{}/chats/1/messages", "A".repeat(32));
    for messages in [
        unknown,
        format!("{chats}/2/messages"),
        format!("{chats}/0/messages"),
        format!("{chats}/01/messages"),
    ] {
        for query in ["", "said", "***"] {
            for call in [
                Call::get(&format!("{messages}/search?query={query}"))?,
                Call::get(&format!("{messages}?query={query}"))?,
                Call::post(&format!("{messages}/search"), &json!({"query": query}))?,
            ] {
                let answer = stage.client.send(&call).await?;
                expect_not_found(&answer).with_context(|| call.to_string())?;
            }
        }
    }
    Ok(())
}

/// Searches by POST, and returns the hits and the address of the next page.
async fn search(
    stage: &mut Stage,
    messages: &str,
    body: &Value,
) -> Result<(Vec<Value>, Option<String>)> {
    let path = format!("{messages}/search");
    let answer = stage.client.post(&path, body).await?;
    let page = answer.expect(200)?;
    let hits = page["items"].as_array().context("items")?.clone();
    let next = page["next"].as_str().map(str::to_owned);
    if let Some(next) = &next {
        assert!(next.starts_with(&format!("{path}?")), "{next} is no GET");
    }
    let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
    assert_eq!(answer.header("link"), link.as_deref());
    Ok((with_fractions(hits), next))
}
