//! Compares searches through an `api` with the same requests sent straight to Elasticsearch.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Call, Client},
    corpus::Corpus,
};
use hyper::http::uri::Authority;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    SearchedArguments,
    bed::{Bed, Servers, Sync},
    creates::create_chats,
    recorder::Recorder,
    report::{Report, Round, expect_ratio},
    searches::{fill, query},
    stored::until_nothing_waits,
};

/// How many connections search at the same time.
const CONNECTIONS: usize = 8;

/// How many different searches there are.
const SEARCHES: usize = 60;

/// How long each side is asked before the first round, unmeasured.
const WARM_UP: Duration = Duration::from_secs(15);

/// Measures and prints the table.
///
/// # Errors
///
/// Fails when something does not start or answer, and when the ratio is too low.
pub(crate) async fn run(arguments: &SearchedArguments) -> Result<()> {
    let corpus = Corpus::read(&Corpus::file())?;
    let messages = corpus.chats.into_iter().flat_map(|chat| chat.messages);
    let bodies = messages.map(|message| message.body);
    let bodies: Arc<[String]> = bodies.take(arguments.messages).collect();
    let mut bed = Bed::live(Sync::Everysec, Servers::All).await?;
    bed.work().await?;
    let api = bed.authority().clone();
    let paths = create_chats(&api, 1).await?;
    let messages = paths.first().context("a chat")?;
    fill(|| Client::new(api.clone()), messages, &bodies).await?;
    until_nothing_waits(&bed, true).await?;

    let server: Authority = bed
        .setting("CHAT_SEARCH_URL")?
        .replace("http://", "")
        .parse()?;
    let recorder = Recorder::before(server.clone()).await?;
    let url = format!("http://{}", recorder.authority());
    let (heard_api, _folder) = bed.another_api(("CHAT_SEARCH_URL", &url)).await?;
    let (mut through, mut straight) = (Vec::new(), Vec::new());
    let mut client = heard_api.client();
    for index in 0..SEARCHES {
        let words = chat_system::client::percent_encoded(query(&bodies, index));
        let call = Call::get(&format!("{messages}/search?query={words}"))?;
        recorder.searches()?;
        client.send(&call).await?.expect(200)?;
        let mut asked = recorder.searches()?;
        // A query without a word is answered without asking Elasticsearch.
        if let Some(search) = asked.pop() {
            ensure!(asked.is_empty(), "one search is one request");
            through.push(call);
            straight.push(search);
        }
    }
    ensure!(!through.is_empty(), "nothing was searched for");
    let (through, straight) = (Arc::from(through), Arc::from(straight));
    measure(&server, &straight, WARM_UP).await?;
    measure(&api, &through, WARM_UP).await?;
    let (mut report, round) = (
        Report::of("straight"),
        Duration::from_secs(arguments.seconds.into()),
    );
    for _ in 0..arguments.rounds {
        let straight = measure(&server, &straight, round).await?;
        report.add(straight, measure(&api, &through, round).await?)?;
    }
    let ratio = report.finish()?;
    expect_ratio(ratio, arguments.at_least)
}

/// Sends the calls to one server, again and again, for `duration`.
async fn measure(server: &Authority, calls: &Arc<[Call]>, duration: Duration) -> Result<Round> {
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for first in 0..CONNECTIONS {
        let (mut client, calls) = (Client::new(server.clone()), Arc::clone(calls));
        asking.spawn(async move {
            let mut latencies = Vec::new();
            for call in calls.iter().cycle().skip(first * calls.len() / CONNECTIONS) {
                let asked = Instant::now();
                if asked >= begun + duration {
                    break;
                }
                client.send(call).await?.expect_status(200)?;
                latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(outcome) = asking.join_next().await {
        latencies.append(&mut outcome.context("a connection broke down")??);
    }
    Ok(Round::new(latencies, begun.elapsed()))
}
