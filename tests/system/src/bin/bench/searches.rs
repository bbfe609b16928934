//! How long a search takes: in a chat of some size at a steady rate, and in the largest one by one.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Call, Client, percent_encoded},
    corpus::Corpus,
    stage::Embedded,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    SearchesArguments,
    report::{Round, say},
};

/// How many messages the smaller chat has.
const SMALL: usize = 10_000;

/// How many searches a second are asked of it.
const PER_SECOND: u32 = 50;

/// How many searches are asked of the largest chat.
const ONE_BY_ONE: usize = 200;

/// How many connections fill a chat.
const SENDERS: usize = 64;

/// Measures and prints a line for each chat.
///
/// # Errors
///
/// Fails when `api` does not start or answer, or when the 99th percentile is above what was asked for.
pub(crate) async fn run(arguments: &SearchesArguments) -> Result<()> {
    let corpus = Corpus::read(&arguments.corpus.clone().unwrap_or_else(Corpus::file))?;
    let chats = corpus.chats.into_iter();
    let messages: Vec<_> = chats.flat_map(|chat| chat.messages).collect();
    let bodies: Vec<String> = messages.into_iter().map(|message| message.body).collect();
    let bodies: Arc<[String]> = bodies.into();
    let mut stage = Embedded::open().await?;

    let few: Arc<[String]> = bodies.iter().take(SMALL).cloned().collect();
    let chat = filled(&mut stage, &few).await?;
    let round = steadily(&stage, &chat, &bodies, arguments.seconds).await?;
    tell(few.len(), &format!("{PER_SECOND} searches a second"), round)?;
    expect(round, arguments.small_at_most_ms)?;

    let chat = filled(&mut stage, &bodies).await?;
    let round = one_by_one(&stage, &chat, &bodies).await?;
    tell(bodies.len(), "one by one", round)?;
    expect(round, arguments.large_at_most_ms)?;
    let resident = stage.api().resident_bytes()? / 1_000_000;
    say(&format!("`api` has {resident} MB resident"))
}

/// Fills a new chat with bodies, waits until they are found, and returns its path.
async fn filled(stage: &mut Embedded, bodies: &Arc<[String]>) -> Result<String> {
    let application = stage.application().await?;
    let path = stage.messages(&application).await?;
    fill(|| stage.another_client(), &path, bodies).await?;
    stage.until_searchable().await?;
    Ok(path)
}

/// Posts bodies to a chat, over many connections.
pub(crate) async fn fill(
    client: impl Fn() -> Client,
    messages: &str,
    bodies: &Arc<[String]>,
) -> Result<()> {
    let mut senders = JoinSet::new();
    for first in 0..SENDERS {
        let (mut client, path) = (client(), messages.to_owned());
        let bodies = Arc::clone(bodies);
        senders.spawn(async move {
            for body in bodies.iter().skip(first).step_by(SENDERS) {
                let message = serde_json::json!({"body": body});
                client.post(&path, &message).await?.expect(201)?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.context("a sender broke down")??;
    }
    Ok(())
}

/// A query out of the `index`th body: a word, two words, or one with two letters swapped.
pub(crate) fn query(bodies: &[String], index: usize) -> String {
    // Strides by a prime, so that the bodies come from all over the corpus.
    let body = &bodies[index * 7919 % bodies.len()];
    let mut words = body.split_whitespace().filter(|word| word.is_ascii());
    let word = words.nth(index % 5).unwrap_or("linux").to_owned();
    match (index % 3, words.next()) {
        (0, Some(next)) => format!("{word} {next}"),
        (1, _) if word.len() > 4 => {
            let (one, other) = (&word[1..2], &word[2..3]);
            format!("{}{other}{one}{}", &word[..1], &word[3..])
        }
        _ => word,
    }
}

fn search(chat: &str, bodies: &[String], index: usize) -> Result<Call> {
    let query = percent_encoded(query(bodies, index));
    Call::get(&format!("{chat}/search?query={query}"))
}

/// Searches at a steady rate, without waiting for earlier answers.
async fn steadily(stage: &Embedded, chat: &str, bodies: &[String], seconds: u32) -> Result<Round> {
    let begun = Instant::now();
    let mut asked = JoinSet::new();
    for index in 0..seconds * PER_SECOND {
        let due = begun + Duration::from_secs(1) * index / PER_SECOND;
        let call = search(chat, bodies, index as usize)?;
        let mut client = stage.another_client();
        sleep_until(due).await;
        asked.spawn(async move { ask(&mut client, &call, due).await });
    }
    let mut latencies = Vec::new();
    while let Some(latency) = asked.join_next().await {
        latencies.push(latency.context("a search broke down")??);
    }
    Ok(Round::new(latencies, begun.elapsed()))
}

async fn one_by_one(stage: &Embedded, chat: &str, bodies: &[String]) -> Result<Round> {
    let mut client = stage.another_client();
    let begun = Instant::now();
    let mut latencies = Vec::new();
    for index in 0..ONE_BY_ONE {
        let call = search(chat, bodies, index)?;
        latencies.push(ask(&mut client, &call, Instant::now()).await?);
    }
    Ok(Round::new(latencies, begun.elapsed()))
}

/// Sends a search, and returns how many microseconds after `due` its answer was there.
async fn ask(client: &mut Client, call: &Call, due: Instant) -> Result<u32> {
    client.send(call).await?.expect(200)?;
    Ok(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX))
}

fn tell(messages: usize, how: &str, round: Round) -> Result<()> {
    let Round { p50_ms, p99_ms, .. } = round;
    say(&format!(
        "a chat of {messages} messages, {how}: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms"
    ))
}

fn expect(round: Round, at_most_ms: Option<f64>) -> Result<()> {
    if let Some(at_most) = at_most_ms {
        let p99 = round.p99_ms;
        ensure!(p99 <= at_most, "p99 is {p99:.1} ms, above {at_most} ms");
    }
    Ok(())
}
