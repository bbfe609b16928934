//! What was answered survives `kill -9` at any moment, and nothing is stored twice.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Context as _, Result};
use chat_system::{corpus::Corpus, loader::Loading, stage::Embedded};
use rand::{SeedableRng as _, rngs::StdRng, seq::index::sample};

/// How often `api` is killed.
const KILLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_nothing_and_repeat_nothing() -> Result<()> {
    let seed = match std::env::var("CHAT_SEED") {
        Ok(seed) => seed.parse().context("CHAT_SEED is no number")?,
        Err(_) => RandomState::new().hash_one("seed"),
    };
    println!("CHAT_SEED={seed}");
    let mut stage = Embedded::open().await?;
    let mut loading = Loading::begin(stage.servers(), Corpus::read(&Corpus::file())?).await?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut points = sample(&mut random, loading.total(), KILLS).into_vec();
    points.sort_unstable();
    for point in points {
        loading.until_answered(point).await?;
        stage.crash().await?;
        println!("killed at message {point}");
    }
    let sent = loading.finish().await?;
    println!("{}", sent.verify().await?);

    // Nothing was only in memory.
    stage.crash().await?;
    sent.verify().await?;
    Ok(())
}
