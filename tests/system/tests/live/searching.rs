//! A search index that is away, lost or full, or a stalled indexer: writes do not notice, and search
//! catches up with the database.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Call,
    live::{LiveSet, UNDER_FIRE},
    loader::Numbering,
    problem::expect_problem,
    stage::within,
};
use hyper::Method;
use tokio::time::sleep;

/// How long an indexer is stalled: longer than its lease on what it has taken.
const STALLED: Duration = Duration::from_secs(25);

/// How soon it must show that the index is away.
const SOON: Duration = Duration::from_secs(10);

/// How long the index takes no writes.
const FULL: Duration = Duration::from_secs(5);

/// Returns how long Elasticsearch is away, and how many messages are sent before, meanwhile and after.
///
/// `CHAT_AWAY_SECONDS` asks for longer, with the whole corpus.
fn away() -> Result<(Duration, usize)> {
    match std::env::var("CHAT_AWAY_SECONDS") {
        Ok(seconds) => {
            let seconds = seconds.parse().context("CHAT_AWAY_SECONDS is no number")?;
            Ok((Duration::from_secs(seconds), usize::MAX))
        }
        Err(_) => Ok((Duration::from_secs(10), UNDER_FIRE)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_without_elasticsearch_and_search_follows() -> Result<()> {
    let name = "writes_go_on_without_elasticsearch_and_search_follows";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let (away, messages) = away()?;
    let mut loading = live.load(messages, Numbering::WithoutGaps).await?;
    let total = loading.total();
    let (began, part) = (Instant::now(), total / 5);
    loading.until_answered(part).await?;
    let before = began.elapsed();

    live.services.kill("elasticsearch").await?;
    let began = Instant::now();
    loading.until_answered(loading.answered() + part).await?;
    let without = began.elapsed();
    expect_search_alone_is_away(&live).await?;
    println!("{part} messages take {before:.1?} with Elasticsearch, {without:.1?} without");
    ensure!(
        without < before * 2,
        "writes slow down while search is away"
    );
    sleep(away.saturating_sub(began.elapsed())).await;
    live.services.up(&["elasticsearch"]).await?;
    let tally = live.expect_kept(loading).await?;
    tally.report(&format!("Elasticsearch away for {} s", away.as_secs()))
}

/// Checks that searches are answered 503, and that each `api` stays in the load balancer.
async fn expect_search_alone_is_away(live: &LiveSet) -> Result<()> {
    for api in &live.programs.apis {
        let answer = within(SOON, "searching is refused", || async {
            let mut client = api.client();
            let answer = client.get("/api/v1/messages/search?query=word").await?;
            Ok((answer.status != 200).then_some(answer))
        })
        .await?;
        expect_problem(&answer, 503, "unavailable")?;
        within(SOON, "readiness tells it", || async {
            let mut client = api.client();
            let ready = client.get("/health/ready").await?.expect(200)?;
            let is_told = ready["dependencies"]["search"]["status"] == "down";
            Ok((is_told && ready["status"] == "degraded").then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_deleted_or_is_rebuilt_under_load_is_what_the_database_is() -> Result<()>
{
    let name = "an_index_that_was_deleted_or_is_rebuilt_under_load_is_what_the_database_is";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 4).await?;
    live.index()?.delete().await?;
    loading.until_answered(UNDER_FIRE / 4 * 3).await?;
    let rebuild = Call::try_new(Method::POST, "/api/v1/admin/search/rebuild")?;
    let mut client = live.programs.apis[0].client();
    client.send(&rebuild).await?.expect(202)?;
    let tally = live.expect_kept(loading).await?;
    tally.report("the search index deleted, and rebuilt")
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_refused_items_nor_a_stalled_indexer_leave_a_gap_in_search() -> Result<()> {
    let name = "neither_refused_items_nor_a_stalled_indexer_leave_a_gap_in_search";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let mut loading = live.load(UNDER_FIRE, Numbering::WithoutGaps).await?;
    loading.until_answered(UNDER_FIRE / 5).await?;
    live.index()?.refuse_writes(true).await?;
    sleep(FULL).await;
    live.index()?.refuse_writes(false).await?;

    loading.until_answered(UNDER_FIRE / 5 * 3).await?;
    live.programs.workers[0].stall()?;
    sleep(STALLED).await;
    live.programs.workers[0].wake()?;
    let tally = live.expect_kept(loading).await?;
    tally.report("the search index full, and an indexer stalled for 25 s")
}
