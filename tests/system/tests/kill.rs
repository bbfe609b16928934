//! What was answered survives `kill -9` at any moment, and nothing is stored twice.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Context as _, Result};
use chat_system::{
    corpus::Corpus,
    loader::{Loading, Numbering},
    stage::Embedded,
};
use rand::{SeedableRng as _, rngs::StdRng, seq::index::sample};

/// How often `api` is killed, where `CHAT_KILLS` does not say.
const KILLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_and_repeat_nothing() -> Result<()> {
    let seed = match std::env::var("CHAT_SEED") {
        Ok(seed) => seed.parse().context("CHAT_SEED is no number")?,
        Err(_) => RandomState::new().hash_one("seed"),
    };
    println!("CHAT_SEED={seed}");
    let kills = match std::env::var("CHAT_KILLS") {
        Ok(kills) => kills.parse().context("CHAT_KILLS is no number")?,
        Err(_) => KILLS,
    };
    let mut stage = Embedded::open().await?;
    let corpus = Corpus::read(&Corpus::file())?;
    let mut loading = Loading::begin(stage.servers(), corpus, Numbering::WithoutGaps).await?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut points = sample(&mut random, loading.total(), kills).into_vec();
    points.sort_unstable();
    for point in points {
        loading.until_answered(point).await?;
        stage.crash().await?;
        println!("killed at message {point}");
    }
    let sent = loading.finish().await?;
    println!("{}", sent.verify().await?);

    // Another kill shows that nothing was in memory only.
    stage.crash().await?;
    sent.verify().await?;
    let tally = sent.tally().await?.expect_all()?;
    tally.report(&format!("embedded: `api` killed {kills} times at random"))
}
