//! The live set: many processes on Redis and MariaDB keep what they answered, whatever is killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use chat_system::{
    client::Servers,
    corpus::Corpus,
    live::LiveSet,
    loader::{Load, Loaded, create_application},
    verify::{Verified, verify},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// How long a request may be tried again: longer than any server takes to come back.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take until what was accepted is stored and counted.
const STORED: Duration = Duration::from_mins(1);

/// How many messages are sent while something is killed.
const UNDER_FIRE: usize = 40_000;

/// A load that goes on beside the test.
struct Loading {
    api: Servers,
    application: String,
    corpus: Arc<Corpus>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<Result<Loaded>>,
}

impl Loading {
    async fn begin(live: &LiveSet, corpus: Corpus) -> Result<Self> {
        let api = live.servers();
        let application = create_application(&api, "live").await?;
        let load = Load {
            api: api.clone(),
            application: application.clone(),
            connections: 64,
            patience: PATIENCE,
        };
        let (corpus, answered) = (Arc::new(corpus), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn({
            let (corpus, answered) = (Arc::clone(&corpus), Arc::clone(&answered));
            // It checks that each message has its line's own number.
            async move { load.run(&corpus, &answered).await }
        });
        Ok(Self {
            api,
            application,
            corpus,
            answered,
            task,
        })
    }

    /// Waits until so many of 100 messages are answered.
    async fn until(&self, percent: u64) -> Result<()> {
        let wanted = self.corpus.messages_count() as u64 * percent / 100;
        let give_up = Instant::now() + PATIENCE * 2;
        while self.answered.load(Ordering::Relaxed) < wanted {
            ensure!(
                !self.task.is_finished(),
                "the load ended before {percent} %"
            );
            ensure!(Instant::now() < give_up, "{percent} % were not reached");
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Waits until all is answered and stored, and compares it with what was sent.
    async fn verify(self) -> Result<Verified> {
        let loaded = self.task.await??;
        assert_eq!(loaded.messages, self.corpus.messages_count() as u64);
        let give_up = Instant::now() + STORED;
        loop {
            // What is not stored yet is read all the same, but not counted.
            let compared = verify(&self.api, &self.application, &self.corpus, &loaded.chats).await;
            match compared {
                Ok(verified) if verified.is_same() => return Ok(verified),
                outcome if Instant::now() > give_up => {
                    let verified = outcome?;
                    bail!("{verified}");
                }
                _ => sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

fn part_of_corpus(messages: usize) -> Result<Corpus> {
    let mut corpus = Corpus::read(&Corpus::file())?;
    let mut left = messages;
    for chat in &mut corpus.chats {
        chat.messages.truncate(left);
        left -= chat.messages.len();
    }
    corpus.chats.retain(|chat| !chat.messages.is_empty());
    Ok(corpus)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_comes_back_over_two_apis() -> Result<()> {
    let Some(live) = LiveSet::find("the_whole_corpus_comes_back_over_two_apis").await? else {
        return Ok(());
    };
    let corpus = Corpus::read(&Corpus::file())?;
    let messages = corpus.messages_count();
    let began = Instant::now();
    let verified = Loading::begin(&live, corpus).await?.verify().await?;
    assert_eq!(verified.messages, messages);
    println!("{verified} in {:.1?}", began.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_program_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_program_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let loading = Loading::begin(&live, part_of_corpus(UNDER_FIRE)?).await?;
    for (percent, one) in [(20, 0), (40, 1), (60, 0), (80, 1)] {
        loading.until(percent).await?;
        live.workers[one].kill()?;
        live.apis[one].kill()?;
        live.sync.kill()?;
        live.apis[one].restart().await?;
        live.workers[one].restart()?;
        live.sync.restart()?;
    }
    println!("{}", loading.verify().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_killed_server_loses_or_repeats_a_message() -> Result<()> {
    let name = "no_killed_server_loses_or_repeats_a_message";
    let Some(mut live) = LiveSet::find(name).await? else {
        return Ok(());
    };
    let loading = Loading::begin(&live, part_of_corpus(UNDER_FIRE)?).await?;
    for (percent, server) in [
        (20, "redis"),
        (40, "mariadb"),
        (60, "redis"),
        (80, "mariadb"),
    ] {
        loading.until(percent).await?;
        live.services.kill(server).await?;
        live.services.up(&[server]).await?;
    }
    println!("{}", loading.verify().await?);
    for worker in &mut live.workers {
        worker.expect_running()?;
    }
    live.sync.expect_running()
}
