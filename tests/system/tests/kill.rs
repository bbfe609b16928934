//! What was answered survives `kill -9` at any moment, and nothing is stored twice.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    corpus::Corpus,
    loader::{Load, create_application},
    stage::Stage,
    verify::verify,
};
use rand::{SeedableRng as _, rngs::StdRng, seq::index::sample};
use tokio::time::{Instant, sleep};

/// How often `api` is killed.
const KILLS: usize = 10;

/// How long the load may take from one kill to the next.
const DEADLINE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_nothing_and_repeat_nothing() -> Result<()> {
    let seed = match std::env::var("CHAT_SEED") {
        Ok(seed) => seed.parse().context("CHAT_SEED is no number")?,
        Err(_) => RandomState::new().hash_one("seed"),
    };
    println!("CHAT_SEED={seed}");
    let corpus = Arc::new(Corpus::read(&Corpus::file())?);
    let total = corpus.messages_count();
    let mut points = sample(&mut StdRng::seed_from_u64(seed), total, KILLS).into_vec();
    points.sort_unstable();

    let mut stage = Stage::open().await?;
    let api = stage.api.authority().clone();
    let application = create_application(&api, "killed").await?;
    let load = Load {
        api: (&api).into(),
        application: application.clone(),
        connections: 64,
        patience: Duration::from_secs(30),
    };
    let answered = Arc::new(AtomicU64::new(0));
    let loading = tokio::spawn({
        let (corpus, answered) = (Arc::clone(&corpus), Arc::clone(&answered));
        // It checks that each answer, also one lost and asked for again, is the line's own number.
        async move { load.run(&corpus, &answered).await }
    });
    for point in points {
        let give_up = Instant::now() + DEADLINE;
        while answered.load(Ordering::Relaxed) < point as u64 && !loading.is_finished() {
            ensure!(
                Instant::now() < give_up,
                "message {point} was not reached in {DEADLINE:?}"
            );
            sleep(Duration::from_millis(1)).await;
        }
        stage.api.kill()?;
        println!("killed at message {point}");
        stage.api.restart().await?;
    }
    let loaded = loading.await??;
    assert_eq!(loaded.messages, total as u64);
    let verified = verify(&api, &application, &corpus, &loaded.chats).await?;
    println!("{verified}");
    assert!(verified.is_same(), "{verified}");

    // Nothing was only in memory.
    stage.api.kill()?;
    stage.api.restart().await?;
    let verified = verify(&api, &application, &corpus, &loaded.chats).await?;
    assert!(verified.is_same(), "{verified}");
    Ok(())
}
