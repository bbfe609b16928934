//! How soon after its answer a message is found, while others are created at a steady rate.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chat_system::client::{Call, Client};
use hyper::http::uri::Authority;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    FoundArguments,
    bed::{Bed, Servers},
    creates::create_chats,
    report::{Round, say},
};

/// How many connections create at the steady rate.
const CONNECTIONS: u32 = 64;

/// How many connections measure how soon what they create is found.
const LOOKERS: usize = 4;

/// The polling interval; each poll is work for the two cores as well.
const LOOK: Duration = Duration::from_millis(100);

/// How long a message may take to be found before the measurement fails.
const NEVER: Duration = Duration::from_secs(30);

/// How long the load runs before anything is measured: a JVM takes that long to warm up.
const WARM_UP: Duration = Duration::from_secs(40);

/// Measures and prints the result.
///
/// # Errors
///
/// Fails when something does not start or answer, the rate was not held, or finding took too long.
pub(crate) async fn run(arguments: &FoundArguments) -> Result<()> {
    let mut bed = Bed::live(arguments.redis, Servers::All).await?;
    bed.work().await?;
    let api = bed.authority();
    let paths = create_chats(api, CONNECTIONS as usize).await?;
    let load = Duration::from_secs(arguments.seconds.into());
    let begun = Instant::now();
    let end = begun + WARM_UP + load;
    let mut creating = JoinSet::new();
    for path in &paths {
        let every = Duration::from_secs(1) * CONNECTIONS / arguments.per_second;
        creating.spawn(steadily(api.clone(), path.clone(), every, end));
    }
    let mut looking = JoinSet::new();
    for (number, path) in create_chats(api, LOOKERS).await?.into_iter().enumerate() {
        looking.spawn(look(api.clone(), path, number, begun + WARM_UP, end));
    }
    let mut latencies = Vec::new();
    while let Some(found) = looking.join_next().await {
        latencies.append(&mut found.context("a look broke down")??);
    }
    let (took, mut created) = (begun.elapsed(), 0_u32);
    while let Some(sent) = creating.join_next().await {
        created += sent.context("a connection broke down")??;
    }
    let rate = f64::from(created) / took.as_secs_f64();
    let longest = latencies.iter().max().copied().unwrap_or_default();
    let (count, Round { p50_ms, p99_ms, .. }) = (latencies.len(), Round::new(latencies, took));
    say(&format!(
        "at {rate:.0} creates a second, {count} messages were found after p50 {p50_ms:.0} ms, p99 \
         {p99_ms:.0} ms, at most {} ms",
        longest / 1000
    ))?;
    ensure!(
        rate > 0.95 * f64::from(arguments.per_second),
        "the rate was not held"
    );
    if let Some(at_most) = arguments.at_most_ms {
        ensure!(p99_ms <= at_most, "p99 is above {at_most} ms");
    }
    Ok(())
}

/// Creates again and again, and returns how many it created.
async fn steadily(api: Authority, path: String, every: Duration, end: Instant) -> Result<u32> {
    let body = "does anyone know how to get the sound card working after the last kernel update?";
    let call = Call::post(&path, &json!({"sender": "ada", "body": body}))?;
    let (mut client, mut tick) = (Client::new(api), interval(every));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut created = 0;
    while Instant::now() < end {
        tick.tick().await;
        client.send(&call).await?.expect(201)?;
        created += 1;
    }
    Ok(created)
}

/// Creates a message with a word of its own and looks for it, again and again; returns how many
/// microseconds after each answer it was found.
async fn look(
    api: Authority,
    path: String,
    looker: usize,
    from: Instant,
    end: Instant,
) -> Result<Vec<u32>> {
    let mut client = Client::new(api);
    let mut latencies = Vec::new();
    for count in 0_u32.. {
        if Instant::now() >= end {
            break;
        }
        // A unique word, so that the search finds nothing else.
        let word = format!("{:016x}", RandomState::new().hash_one((looker, count)));
        let message = json!({"body": format!("where is the {word}")});
        let number = client.post(&path, &message).await?.expect(201)?["number"].take();
        let answered = Instant::now();
        let search = format!("{path}/search?query={word}&limit=1");
        while client.get(&search).await?.expect(200)?["items"][0]["number"] != number {
            ensure!(answered.elapsed() < NEVER, "{word} is not found");
            sleep(LOOK).await;
        }
        if answered >= from {
            latencies.push(u32::try_from(answered.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(latencies)
}
