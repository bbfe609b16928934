//! The measurement: both servers are started, and take turns under the same load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Call, Client},
    loader::create_application,
};
use hyper::http::uri::Authority;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    CreatesArguments,
    bed::{self, Bed, Servers},
    report::{Report, Round, expect_ratio, say},
};

/// How long each server is loaded before the first round, unmeasured.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long a worker may take to store what a round created.
const DRAINED: Duration = Duration::from_mins(2);

/// Measures and prints the table.
///
/// # Errors
///
/// Fails when a server does not start, when an answer is not 201, and when the ratio is too low.
pub(crate) async fn run(arguments: &CreatesArguments) -> Result<()> {
    let (yardstick, _folder) = bed::yardstick().await?;
    let mut api = match arguments.redis {
        None => Bed::embedded().await?,
        Some(sync) => Bed::live(sync, Servers::Needed).await?,
    };

    let connections = usize::from(arguments.connections);
    let paths = create_chats(api.authority(), connections).await?;
    let mut report = Report::of("no I/O");
    measure(yardstick.authority(), &paths, WARM_UP).await?;
    measure(api.authority(), &paths, WARM_UP).await?;
    say(&format!(
        "{} rounds of {} s, {connections} connections",
        arguments.rounds, arguments.seconds
    ))?;
    for round in 0..arguments.rounds {
        // Whoever comes first meets a cooler machine, so they take turns at coming first.
        let (first, second) = if round % 2 == 0 {
            (yardstick.authority(), api.authority())
        } else {
            (api.authority(), yardstick.authority())
        };
        let first = measure(first, &paths, arguments.round()).await?;
        let second = measure(second, &paths, arguments.round()).await?;
        let (yardstick_round, api_round) = if round % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        report.add(yardstick_round, api_round)?;
        if arguments.redis.is_some() {
            drain(&mut api).await?;
        }
    }
    let ratio = report.finish()?;
    expect_ratio(ratio, arguments.at_least)
}

/// Has a worker store what was created, so that each round finds the same state.
async fn drain(bed: &mut Bed) -> Result<()> {
    let give_up = Instant::now() + DRAINED;
    bed.work().await?;
    while bed.waiting().await?.to_be_stored > 0.0 {
        ensure!(Instant::now() < give_up, "not stored after {DRAINED:?}");
        sleep(Duration::from_millis(250)).await;
    }
    bed.rest()
}

/// Creates a chat for each connection and returns where their messages go.
pub(crate) async fn create_chats(api: &Authority, count: usize) -> Result<Vec<String>> {
    let token = create_application(api, "bench").await?;
    let mut client = Client::new(api.clone());
    let mut paths = Vec::with_capacity(count);
    for _ in 0..count {
        let chats = format!("/api/v1/applications/{token}/chats");
        let chat = client.post(&chats, &json!({})).await?.expect(201)?;
        paths.push(format!("{chats}/{}/messages", chat["number"]));
    }
    Ok(paths)
}

/// Loads one server for `duration`, with one connection to each path.
pub(crate) async fn measure(
    server: &Authority,
    paths: &[String],
    duration: Duration,
) -> Result<Round> {
    let message = json!({
        "sender": "ada",
        "body": "does anyone know how to get the sound card working after the last kernel update?",
    });
    let mut connections = JoinSet::new();
    let start = Instant::now();
    let end = start + duration;
    for path in paths {
        let call = Arc::new(Call::post(path, &message)?);
        connections.spawn(send_until(end, Client::new(server.clone()), call));
    }
    let mut latencies = Vec::new();
    while let Some(outcome) = connections.join_next().await {
        latencies.append(&mut outcome.context("a connection broke down")??);
    }
    Ok(Round::new(latencies, start.elapsed()))
}

/// Sends the same create again and again, and returns how many microseconds each took.
async fn send_until(end: Instant, mut client: Client, call: Arc<Call>) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(latencies);
        }
        client.send(&call).await?.expect_status(201)?;
        latencies.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}
