//! Messages over HTTP: create, read, list, and how they are numbered and kept.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    problem::{expect_fault, expect_problem},
    stage::{Stage, fields, numbers},
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// The longest body, in bytes.
const LONGEST: usize = 32_768;

/// Opens a stage with one chat and answers the path of its messages too.
async fn stage_with_chat() -> Result<(Stage, String)> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    Ok((stage, format!("{chat}/messages")))
}

#[tokio::test]
async fn a_created_message_has_a_number_and_a_location() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    for number in 1..=3 {
        let body = format!("line {number}");
        let answer = stage
            .client
            .post(&messages, &json!({"body": body, "sender": "ada"}))
            .await?;
        let message = answer.expect(201)?;
        let wanted = ["body", "created_at", "number", "sender", "updated_at"];
        assert_eq!(fields(&message), wanted);
        assert_eq!(message["number"], number);
        assert_eq!(message["body"], body);
        assert_eq!(message["sender"], "ada");
        let path = format!("{messages}/{number}");
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_eq!(stage.read(&path).await?, message);
    }
    Ok(())
}

#[tokio::test]
async fn an_absent_or_null_sender_is_answered_as_null() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    for body in [json!({"body": "a"}), json!({"body": "a", "sender": null})] {
        let message = stage.create(&messages, &body).await?;
        assert_eq!(message["sender"], Value::Null);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_taken_and_read_right_after_its_chat() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..200 {
        let messages = format!("{}/messages", stage.chat(&application).await?);
        let message = stage.create(&messages, &json!({"body": "first"})).await?;
        assert_eq!(message["number"], 1);
        assert_eq!(stage.read(&format!("{messages}/1")).await?, message);
        assert_eq!(stage.read(&messages).await?["items"], json!([message]));
    }
    Ok(())
}

#[tokio::test]
async fn text_is_kept_byte_for_byte() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let longest = [
        "🦀".repeat(LONGEST / 4),
        "a".repeat(LONGEST),
        "\u{1}".repeat(LONGEST),
    ];
    let bodies = [
        "👍 thumbs up",
        "👩🏽‍🚀👨‍👩‍👧‍👦",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𝒳",
        "e\u{301} is not é",
        "שלום مرحبا 你好 ไทย",
        "\r\n kept \t as typed \u{feff}\u{202e}",
        "</script>\"\\'; DROP TABLE messages; --",
        &longest[0],
        &longest[1],
        &longest[2],
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let sender = "🙂".repeat(255);
        let message = json!({"body": body, "sender": sender});
        let created = stage.create(&messages, &message).await?;
        assert_eq!(created["number"], index + 1);
        assert_eq!(created["body"], body);
        let read = stage.read(&format!("{messages}/{}", index + 1)).await?;
        assert_eq!(read["body"], body);
        assert_eq!(read["sender"], sender);
    }
    let page = stage.read(&messages).await?;
    let items = page["items"].as_array().context("items")?;
    let listed: Vec<&str> = items
        .iter()
        .filter_map(|item| item["body"].as_str())
        .collect();
    assert_eq!(listed, bodies);
    Ok(())
}

#[tokio::test]
async fn a_refused_message_burns_no_number() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let (too_long, four_bytes) = ("a".repeat(LONGEST + 1), "🦀".repeat(LONGEST / 4 + 1));
    for body in [
        json!(""),
        json!(" \n\u{2003}"),
        json!(too_long),
        json!(four_bytes),
        json!("nul \u{0}"),
        json!(null),
        json!(5),
        json!({"text": "a"}),
    ] {
        let answer = stage.client.post(&messages, &json!({"body": body})).await?;
        expect_fault(&answer, "body").with_context(|| body.to_string())?;
    }
    expect_fault(&stage.client.post(&messages, &json!({})).await?, "body")?;
    let too_long = "a".repeat(256);
    for sender in [
        json!(""),
        json!(" "),
        json!(too_long),
        json!("\u{0}"),
        json!(5),
    ] {
        let message = json!({"body": "a", "sender": sender});
        expect_fault(&stage.client.post(&messages, &message).await?, "sender")?;
    }
    let message = json!({"body": "a", "number": 7});
    expect_fault(&stage.client.post(&messages, &message).await?, "number")?;

    let bare = Call::try_new(Method::POST, &messages)?;
    for malformed in [r#"{"body": "a""#, "", r#"{"body": "\ud83d"}"#] {
        let call = bare.clone().with_body("application/json", malformed);
        expect_problem(&stage.client.send(&call).await?, 400, "malformed_json")?;
    }
    let text = bare.with_body("text/plain", r#"{"body": "a"}"#);
    expect_problem(
        &stage.client.send(&text).await?,
        415,
        "unsupported_media_type",
    )?;
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_and_without_a_length() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let text = format!(r#"{{"body": "{}"}}"#, "a".repeat(257 * 1024));
    let call = Call::try_new(Method::POST, &messages)?;
    let call = call.with_body("application/json", text.clone());
    expect_problem(&stage.client.send(&call).await?, 413, "too_large")?;

    let head = format!(
        "POST {messages} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        text.len()
    );
    let mut stream = TcpStream::connect(stage.api.authority().as_str()).await?;
    stream.write_all(head.as_bytes()).await?;
    // The answer may come, and the connection end, before all is sent.
    drop(
        stream
            .write_all(format!("{text}\r\n0\r\n\r\n").as_bytes())
            .await,
    );
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 413");
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn five_hundred_at_once_get_each_number_once() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let mut senders = JoinSet::new();
    for sender in 0..50 {
        let (mut client, messages) = (stage.api.client(), messages.clone());
        senders.spawn(async move {
            let mut sent = Vec::new();
            for line in 0..10 {
                let body = format!("line {line} of sender {sender}");
                let message = client
                    .post(&messages, &json!({"body": body}))
                    .await?
                    .expect(201)?;
                sent.push((message["number"].as_u64().context("a number")?, body));
            }
            anyhow::Ok(sent)
        });
    }
    let mut sent = Vec::new();
    while let Some(messages) = senders.join_next().await {
        sent.extend(messages??);
    }
    sent.sort_unstable();
    let page = stage.read(&format!("{messages}?limit=1000")).await?;
    assert_eq!(numbers(&page), (1..=500).collect::<Vec<u64>>());
    let items = page["items"].as_array().context("items")?;
    for ((number, body), item) in sent.iter().zip(items) {
        assert_eq!(
            (item["number"].as_u64(), item["body"].as_str()),
            (Some(*number), Some(&**body))
        );
    }
    assert_eq!(sent.len(), 500);
    Ok(())
}

#[tokio::test]
async fn chats_and_applications_keep_their_messages_apart() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (one, other) = (stage.application().await?, stage.application().await?);
    let chats = [
        stage.chat(&one).await?,
        stage.chat(&one).await?,
        stage.chat(&other).await?,
    ];
    for chat in &chats {
        let message = stage
            .create(&format!("{chat}/messages"), &json!({"body": chat}))
            .await?;
        assert_eq!(message["number"], 1);
    }
    stage
        .create(
            &format!("{}/messages", chats[0]),
            &json!({"body": "second"}),
        )
        .await?;
    for chat in &chats {
        let read = stage.read(&format!("{chat}/messages/1")).await?;
        assert_eq!(read["body"], *chat);
    }
    for path in [
        format!("{}/messages/2", chats[1]),
        format!("{}/2/messages", other.chats()),
    ] {
        expect_problem(&stage.client.get(&path).await?, 404, "not_found").context(path)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_number_that_is_no_plain_positive_integer_is_not_found() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chat = stage.chat(&application).await?;
    stage
        .create(&format!("{chat}/messages"), &json!({"body": "a"}))
        .await?;
    for number in ["2", "0", "-1", "01", "+1", "abc", "18446744073709551616"] {
        let message = stage
            .client
            .get(&format!("{chat}/messages/{number}"))
            .await?;
        expect_problem(&message, 404, "not_found").context(number)?;
        let messages = format!("{}/{number}/messages", application.chats());
        expect_problem(&stage.client.get(&messages).await?, 404, "not_found").context(number)?;
        let answer = stage.client.post(&messages, &json!({"body": "a"})).await?;
        expect_problem(&answer, 404, "not_found").context(number)?;
        // The body is judged before the path.
        expect_fault(
            &stage.client.post(&messages, &json!({"body": ""})).await?,
            "body",
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn a_list_is_cut_by_after_before_limit_and_order() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    assert_eq!(
        stage.read(&messages).await?,
        json!({"items": [], "next": null})
    );
    for number in 1..=60 {
        stage
            .create(&messages, &json!({"body": format!("line {number}")}))
            .await?;
    }
    for (query, wanted) in [
        ("", (1..=50).collect::<Vec<u64>>()),
        ("?limit=1000", (1..=60).collect()),
        ("?order=desc&limit=3", vec![60, 59, 58]),
        ("?after=57", vec![58, 59, 60]),
        ("?before=3&order=asc", vec![1, 2]),
        ("?after=10&before=14&order=desc", vec![13, 12, 11]),
        ("?after=14&before=10", vec![]),
    ] {
        let page = stage.read(&format!("{messages}{query}")).await?;
        assert_eq!(numbers(&page), wanted, "{query}");
    }
    for (name, value) in [
        ("limit", "0"),
        ("after", "-1"),
        ("before", "x"),
        ("order", ""),
    ] {
        let answer = stage
            .client
            .get(&format!("{messages}?{name}={value}"))
            .await?;
        expect_fault(&answer, name).with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn next_leads_through_all_pages_in_both_orders() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    for number in 1..=9 {
        stage
            .create(&messages, &json!({"body": format!("line {number}")}))
            .await?;
    }
    for (order, wanted) in [
        ("asc", (1..=9).collect::<Vec<u64>>()),
        ("desc", (1..=9).rev().collect()),
    ] {
        let mut listed = Vec::new();
        let mut next = Some(format!("{messages}?order={order}&limit=3"));
        while let Some(path) = next {
            let answer = stage.client.get(&path).await?;
            let page = answer.expect(200)?;
            listed.extend(numbers(&page));
            next = page["next"].as_str().map(str::to_owned);
            let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
            assert_eq!(answer.header("link"), link.as_deref());
            assert!(listed.len() <= wanted.len(), "the list does not end");
        }
        assert_eq!(listed, wanted, "{order}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_answers_the_same_message_again() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let longest = "~".repeat(255);
    for key in ["order-7", "!", longest.as_str()] {
        let call = Call::post(&messages, &json!({"body": "once", "sender": "ada"}))?;
        let call = call.with_key(key)?;
        let first = stage.client.send(&call).await?;
        assert_eq!(first.header("idempotency-replayed"), None);
        let message = first.expect(201)?;
        for _ in 0..2 {
            let again = stage.client.send(&call).await?;
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(again.expect(201)?, message);
        }
    }
    assert_eq!(numbers(&stage.read(&messages).await?), [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn a_key_is_good_for_one_request_of_one_application() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (one, other) = (stage.application().await?, stage.application().await?);
    let chats = [
        stage.chat(&one).await?,
        stage.chat(&one).await?,
        stage.chat(&other).await?,
    ];
    let call = |chat: &String, body: &str| {
        Call::post(&format!("{chat}/messages"), &json!({"body": body}))?.with_key("once")
    };
    stage
        .client
        .send(&call(&chats[0], "a")?)
        .await?
        .expect(201)?;
    for call in [call(&chats[0], "b")?, call(&chats[1], "a")?] {
        let answer = stage.client.send(&call).await?;
        expect_problem(&answer, 422, "idempotency_key_reused")?;
    }
    let message = stage
        .client
        .send(&call(&chats[2], "a")?)
        .await?
        .expect(201)?;
    assert_eq!(message["number"], 1);
    for chat in [&chats[0], &chats[1]] {
        let messages = format!("{chat}/messages");
        let wanted = u64::from(chat == &chats[0]) + 1;
        let message = stage.create(&messages, &json!({"body": "next"})).await?;
        assert_eq!(message["number"], wanted);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_create_does_not_use_its_key_up() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let refused = Call::post(&messages, &json!({"body": ""}))?.with_key("again")?;
    expect_fault(&stage.client.send(&refused).await?, "body")?;
    let call = Call::post(&messages, &json!({"body": "a"}))?.with_key("again")?;
    let answer = stage.client.send(&call).await?;
    assert_eq!(answer.expect(201)?["number"], 1);
    assert_eq!(answer.header("idempotency-replayed"), None);
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_named() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let too_long = "x".repeat(256);
    let keys: [&[u8]; 5] = [
        b"",
        b"two words",
        "é".as_bytes(),
        b"\xff",
        too_long.as_bytes(),
    ];
    for key in keys {
        let call = Call::post(&messages, &json!({"body": "a"}))?.with_key(key)?;
        expect_fault(&stage.client.send(&call).await?, "idempotency-key")
            .with_context(|| String::from_utf8_lossy(key).into_owned())?;
    }
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        1
    );
    Ok(())
}

#[tokio::test]
async fn numbers_and_keys_outlive_a_restart() -> Result<()> {
    let (mut stage, messages) = stage_with_chat().await?;
    let call = Call::post(&messages, &json!({"body": "once"}))?.with_key("once")?;
    let message = stage.client.send(&call).await?.expect(201)?;
    stage.api.kill()?;
    stage.api.restart().await?;
    let again = stage.client.send(&call).await?;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201)?, message);
    assert_eq!(
        stage.create(&messages, &json!({"body": "a"})).await?["number"],
        2
    );
    Ok(())
}
