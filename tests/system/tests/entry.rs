//! A system behind an entry point, while the programs behind that are killed under load.
//!
//! It needs a system that runs already, at `CHAT_TEST_ENTRY`, and `CHAT_TEST_STRIKE`, a program that kills
//! one `api` or one `worker` of it; `tests/run compose` has both.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use chat_system::{
    client::{Answer, Call, Client},
    invocation::Invocation,
    problem::expect_discretion,
    servers::Servers,
    set::Set,
    stage::numbers,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How many send at the same time, and how many messages each.
const SENDERS: usize = 24;
const EACH: usize = 500;

/// Several senders share a chat, so that they compete for its numbers.
const CHATS: usize = 6;

/// How long after a kill a request may be refused, or its connection be lost.
const UNREST: Duration = Duration::from_secs(5);

/// How long a request is retried.
const PATIENCE: Duration = Duration::from_secs(30);

/// A refused or lost request: when, and whether it was answered 503.
struct Failure {
    at: Instant,
    is_answered: bool,
}

/// What the senders report.
#[derive(Default)]
struct Tally {
    /// The bodies that were answered 201, by chat and number.
    created: Mutex<BTreeMap<(u64, u64), String>>,
    failures: Mutex<Vec<Failure>>,
    answered: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_kept_while_an_api_and_a_worker_are_killed() -> Result<()> {
    let Some(strike) = env::var_os("CHAT_TEST_STRIKE") else {
        eprintln!("skipped: an entry point under load needs CHAT_TEST_ENTRY and CHAT_TEST_STRIKE");
        return Ok(());
    };
    let entry = Servers::from(Set::entry()?);
    let mut client = Client::new(&entry);
    let application = client
        .post("/api/v1/applications", &json!({"name": "entry"}))
        .await?
        .expect(201)?;
    let token = application["token"].as_str().context("a token")?;
    let chats = format!("/api/v1/applications/{token}/chats");
    for _ in 0..CHATS {
        client.post(&chats, &json!({})).await?.expect(201)?;
    }
    let tally = Arc::new(Tally::default());
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let chat = sender % CHATS + 1;
        let path = format!("{chats}/{chat}/messages");
        let (client, tally) = (Client::new(&entry), Arc::clone(&tally));
        senders.spawn(async move { send(client, &path, chat as u64, sender, &tally).await });
    }
    let mut strikes = Vec::new();
    for (percent, target) in [(20, "api"), (45, "worker"), (70, "api")] {
        let wanted = SENDERS * EACH * percent / 100;
        let give_up = Instant::now() + PATIENCE * 4;
        while tally.answered.load(Ordering::Relaxed) < wanted {
            if let Some(ended) = senders.try_join_next() {
                ended.context("a sender broke down")??;
            }
            ensure!(Instant::now() < give_up, "{wanted} were not answered");
            sleep(Duration::from_millis(5)).await;
        }
        let before = Instant::now();
        let struck = Invocation::of_file(&strike)?.argument(target).run().await?;
        ensure!(struck.code == Some(0), "{}", struck.output());
        strikes.push((before, Instant::now()));
    }
    while let Some(sent) = senders.join_next().await {
        sent.context("a sender broke down")??;
    }
    expect_unrest_at_strikes_alone(&tally, &strikes)?;
    expect_kept(&mut client, &chats, &tally).await
}

/// Sends one message after the other, and retries each until it is answered 201.
async fn send(
    mut client: Client,
    path: &str,
    chat: u64,
    sender: usize,
    tally: &Tally,
) -> Result<()> {
    for number in 0..EACH {
        let body = format!("message {number} of sender {sender}");
        let key = format!("sender-{sender}-message-{number}");
        let call = Call::post(path, &json!({"body": body}))?.with_key(key)?;
        let give_up = Instant::now() + PATIENCE;
        let created = loop {
            let is_answered = match client.send(&call).await {
                Ok(answer) if answer.status == 201 => break answer.expect(201)?,
                Ok(answer) => {
                    expect_unavailable(&answer)?;
                    true
                }
                Err(_) => false,
            };
            let at = Instant::now();
            held(&tally.failures).push(Failure { at, is_answered });
            ensure!(
                at < give_up,
                "`{body}` was not taken in {PATIENCE:?}: {call}"
            );
            sleep(Duration::from_millis(100)).await;
        };
        let given = created["number"].as_u64().context("a number")?;
        let before = held(&tally.created).insert((chat, given), body);
        ensure!(
            before.is_none(),
            "number {given} of chat {chat} was given twice"
        );
        tally.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Checks that a refusal is the contract's 503, whether `api` or the entry point answers.
fn expect_unavailable(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 503, "expected 201 or 503, got {answer}");
    expect_discretion(answer)?;
    let problem: Value = answer.json()?;
    ensure!(
        answer.header("content-type") == Some("application/problem+json")
            && answer.header("retry-after").is_some()
            && problem["status"] == 503
            && problem["code"] == "unavailable"
            && problem["request_id"].as_str() == answer.header("x-request-id"),
        "{answer}"
    );
    Ok(())
}

/// Checks that requests failed only around kills, and no more of them than were under way then.
fn expect_unrest_at_strikes_alone(tally: &Tally, strikes: &[(Instant, Instant)]) -> Result<()> {
    let failures = held(&tally.failures);
    for failure in failures.iter() {
        let is_near = strikes
            .iter()
            .any(|(from, to)| *from <= failure.at && failure.at <= *to + UNREST);
        ensure!(is_near, "a request failed, and nothing had been killed");
    }
    let lost = failures.iter().filter(|failure| !failure.is_answered);
    let (lost, all) = (lost.count(), failures.len());
    eprintln!(
        "{} messages: {} answers of 503, {lost} lost connections",
        SENDERS * EACH,
        all - lost
    );
    // Each sender has one request under way.
    let bound = SENDERS * strikes.len();
    ensure!(
        all <= bound,
        "{all} requests failed, at most {bound} were under way at kills"
    );
    Ok(())
}

/// Checks that every message is there under its number, without gaps, and that all are counted.
async fn expect_kept(client: &mut Client, chats: &str, tally: &Tally) -> Result<()> {
    let created = held(&tally.created).clone();
    for chat in 1..=CHATS as u64 {
        let path = format!("{chats}/{chat}");
        let own = created.iter().filter(|((of, _), _)| *of == chat);
        let own: BTreeMap<u64, &String> = own.map(|((_, number), body)| (*number, body)).collect();
        let mut next = Some(format!("{path}/messages?limit=1000"));
        let mut seen = BTreeSet::new();
        while let Some(address) = next {
            let page = client.get(&address).await?.expect(200)?;
            for (number, item) in numbers(&page)
                .into_iter()
                .zip(page["items"].as_array().into_iter().flatten())
            {
                let sent = own.get(&number);
                ensure!(
                    sent.is_some_and(|body| item["body"] == **body),
                    "{item} was answered as {sent:?}"
                );
                seen.insert(number);
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        let wanted: BTreeSet<u64> = (1..=own.len() as u64).collect();
        ensure!(
            seen == wanted,
            "chat {chat} lacks {:?}",
            wanted.difference(&seen)
        );
        let mut asking = Client::new(Servers::from(Set::entry()?));
        let give_up = Instant::now() + PATIENCE * 2;
        loop {
            let counted = asking.get(&path).await?.expect(200)?["messages_count"].take();
            if counted == own.len() {
                break;
            }
            if Instant::now() > give_up {
                bail!("chat {chat} counts {counted} of {}", own.len());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

fn held<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
