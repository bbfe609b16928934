//! Sends a corpus to a running system: each chat's messages in order, many chats side by side.

use std::{
    collections::BinaryHeap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{
    client::{Answer, Call, Client},
    corpus::Corpus,
    servers::Servers,
    tally::{Tally, tally},
    verify::{Verified, verify},
};

/// How many messages of a chat are sent before the connection looks which chat is behind most.
const SLICE: usize = 50;

/// How long a load in the background retries a request: longer than any server takes to come back.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which numbers a load accepts in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Each message gets the number of its line, since nothing is lost.
    WithoutGaps,
    /// Each message may get any number: where something may have been lost, numbers leap.
    /// [`Sent::tally`] counts at the end those that were given twice.
    Leaping,
}

/// Where and how a corpus is loaded.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where `api` serves.
    pub api: Servers,
    /// The token of the application that gets the chats.
    pub application: String,
    /// How many connections send at the same time.
    pub connections: usize,
    /// How long a request is retried after a lost connection, a 429 or a 503.
    pub patience: Duration,
    /// Which numbers are accepted.
    pub numbering: Numbering,
}

/// What a load did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The number of each chat of the corpus, in the corpus' order.
    pub chats: Vec<u64>,
    /// The numbers of each chat's messages that were sent and answered, in the order of its lines.
    pub numbers: Vec<Vec<u64>>,
    /// How many messages were sent and answered.
    pub messages: u64,
    /// How many messages an earlier load had sent.
    pub found: u64,
}

/// The part of an answer that a load checks.
#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

#[derive(Deserialize)]
struct NumberedPage {
    items: Vec<Numbered>,
}

/// A chat that is not yet sent to its end; the one with most left is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    left: usize,
    chat: usize,
}

/// Creates an application and returns its token.
///
/// # Errors
///
/// Fails when the answer is not 201.
pub async fn create_application(api: impl Into<Servers>, name: &str) -> Result<String> {
    let call = Call::post("/api/v1/applications", &json!({"name": name}))?;
    let application = Client::new(api).send(&call).await?.expect(201)?;
    let token = application["token"]
        .as_str()
        .context("an application has a token")?;
    Ok(token.to_owned())
}

impl Load {
    /// Loads the corpus, going on where an earlier load into the same application stopped.
    ///
    /// `progress` counts the messages that are in place.
    /// Chats are found again by their idempotency keys, which are kept for a day.
    ///
    /// # Errors
    ///
    /// Fails with the first answer that is not a 201 with a number that is accepted.
    pub async fn run(&self, corpus: &Arc<Corpus>, progress: &Arc<AtomicU64>) -> Result<Loaded> {
        let (chats, open) = self.create_chats(corpus).await?;
        let left: usize = open.iter().map(|open| open.left).sum();
        let found = corpus.messages_count().saturating_sub(left) as u64;
        progress.fetch_add(found, Ordering::Relaxed);
        let numbers = chats.iter().map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared {
            load: self.clone(),
            corpus: Arc::clone(corpus),
            chats,
            numbers,
            open: Mutex::new(open),
            progress: Arc::clone(progress),
            sent: AtomicU64::new(0),
        });
        let mut senders = JoinSet::new();
        for _ in 0..self.connections {
            senders.spawn(Arc::clone(&shared).send_slices());
        }
        // When one fails, the others are dropped with the set, which aborts them.
        while let Some(outcome) = senders.join_next().await {
            outcome.context("a sender broke down")??;
        }
        let messages = shared.sent.load(Ordering::Relaxed);
        let numbers = shared.numbers.iter().map(|of_chat| lock(of_chat).clone());
        Ok(Loaded {
            chats: shared.chats.clone(),
            numbers: numbers.collect(),
            messages,
            found,
        })
    }

    async fn create_chats(&self, corpus: &Corpus) -> Result<(Vec<u64>, BinaryHeap<Open>)> {
        let mut client = Client::new(&self.api);
        let path = format!("/api/v1/applications/{}/chats", self.application);
        let mut numbers = Vec::with_capacity(corpus.chats.len());
        let mut open = BinaryHeap::with_capacity(corpus.chats.len());
        for (index, chat) in corpus.chats.iter().enumerate() {
            let key = format!("chat-{}", index + 1);
            let call = Call::post(&path, &json!({"title": chat.name}))?.with_key(key)?;
            let answer = client.send_until_answered(&call, self.patience).await?;
            let number = created(&answer).with_context(|| format!("chat `{}`", chat.name))?;
            let there = if answer.header("idempotency-replayed").is_some() {
                self.last_number(&mut client, &format!("{path}/{number}/messages"))
                    .await?
            } else {
                0
            };
            numbers.push(number);
            open.push(Open {
                left: chat.messages.len().saturating_sub(there),
                chat: index,
            });
        }
        Ok((numbers, open))
    }

    async fn last_number(&self, client: &mut Client, messages: &str) -> Result<usize> {
        let call = Call::get(&format!("{messages}?order=desc&limit=1"))?;
        let answer = client.send_until_answered(&call, self.patience).await?;
        ensure!(answer.status == 200, "the messages in place: {answer}");
        let last = answer
            .json::<NumberedPage>()?
            .items
            .first()
            .map_or(0, |last| last.number);
        usize::try_from(last).context("a number that no corpus has")
    }
}

/// A load that runs in the background of a test.
#[derive(Debug)]
pub struct Loading {
    load: Load,
    corpus: Arc<Corpus>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<Result<Loaded>>,
}

impl Loading {
    /// Begins to load a corpus into a new application, over 64 connections.
    ///
    /// # Errors
    ///
    /// Fails when the application cannot be created.
    pub async fn begin(
        api: impl Into<Servers>,
        corpus: Corpus,
        numbering: Numbering,
    ) -> Result<Self> {
        let api = api.into();
        let load = Load {
            application: create_application(&api, "loaded").await?,
            api,
            connections: 64,
            patience: PATIENCE,
            numbering,
        };
        let (corpus, answered) = (Arc::new(corpus), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn({
            let (load, corpus, answered) =
                (load.clone(), Arc::clone(&corpus), Arc::clone(&answered));
            // It checks each answer, also that to a retry.
            async move { load.run(&corpus, &answered).await }
        });
        Ok(Self {
            load,
            corpus,
            answered,
            task,
        })
    }

    /// Returns how many messages it has to send.
    #[must_use]
    pub fn total(&self) -> usize {
        self.corpus.messages_count()
    }

    /// Returns how many messages have been answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        usize::try_from(self.answered.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Waits until so many messages are answered.
    ///
    /// # Errors
    ///
    /// Fails when the load ends before that, or does not get there in two minutes.
    pub async fn until_answered(&mut self, messages: usize) -> Result<()> {
        let give_up = Instant::now() + PATIENCE * 2;
        while self.answered() < messages {
            if self.task.is_finished() {
                let ended = (&mut self.task).await.context("the load broke down")?;
                bail!("the load ended before message {messages}: {ended:?}");
            }
            ensure!(
                Instant::now() < give_up,
                "message {messages} was not reached in {:?}",
                PATIENCE * 2
            );
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Waits until all messages are answered.
    ///
    /// # Errors
    ///
    /// Fails as [`Load::run`] does, and when something was not sent.
    pub async fn finish(self) -> Result<Sent> {
        let loaded = self.task.await.context("the load broke down")??;
        let total = self.corpus.messages_count() as u64;
        ensure!(
            loaded.messages == total,
            "of {total} messages {} were sent",
            loaded.messages
        );
        Ok(Sent {
            load: self.load,
            corpus: self.corpus,
            chats: loaded.chats,
            numbers: loaded.numbers,
        })
    }
}

/// A corpus of which every message was answered 201.
#[derive(Debug)]
pub struct Sent {
    load: Load,
    corpus: Arc<Corpus>,
    chats: Vec<u64>,
    numbers: Vec<Vec<u64>>,
}

impl Sent {
    /// Reads everything back by its numbers, and counts what is there and what is not.
    ///
    /// # Errors
    ///
    /// Fails when something cannot be read.
    pub async fn tally(&self) -> Result<Tally> {
        let Load {
            api, application, ..
        } = &self.load;
        let chats = self.chats.iter().zip(&self.numbers);
        tally(api, application, &self.corpus, chats).await
    }

    /// Returns the token of the application that it was loaded into.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.load.application
    }

    /// Checks that everything can be read as it was sent, and that the counts are right.
    ///
    /// # Errors
    ///
    /// Fails with the first differences.
    pub async fn verify(&self) -> Result<Verified> {
        let Load {
            api, application, ..
        } = &self.load;
        let verified = verify(api, application, &self.corpus, &self.chats).await?;
        ensure!(verified.is_same(), "{verified}");
        Ok(verified)
    }

    /// Retries [`verify`](Self::verify): what is not stored yet can be read, but is not counted.
    ///
    /// # Errors
    ///
    /// Fails with the first differences that are left after a minute.
    pub async fn verify_once_stored(&self) -> Result<Verified> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.verify().await {
                Err(_) if Instant::now() < give_up => sleep(Duration::from_millis(500)).await,
                outcome => return outcome,
            }
        }
    }
}

/// What the connections of one load share.
struct Shared {
    load: Load,
    corpus: Arc<Corpus>,
    chats: Vec<u64>,
    /// The numbers that each chat's lines got; only one connection at a time works on a chat.
    numbers: Vec<Mutex<Vec<u64>>>,
    open: Mutex<BinaryHeap<Open>>,
    progress: Arc<AtomicU64>,
    sent: AtomicU64,
}

impl Shared {
    /// Sends slices of the chat that is behind most, so that all end at about the same time.
    async fn send_slices(self: Arc<Self>) -> Result<()> {
        let mut client = Client::new(&self.load.api);
        while let Some(Open { left, chat }) = self.take() {
            let slice = left.min(SLICE);
            self.send_slice(&mut client, chat, left, slice).await?;
            if left > slice {
                self.give_back(Open {
                    left: left - slice,
                    chat,
                });
            }
        }
        Ok(())
    }

    async fn send_slice(
        &self,
        client: &mut Client,
        chat: usize,
        left: usize,
        slice: usize,
    ) -> Result<()> {
        let messages = &self.corpus.chats[chat].messages;
        let first = messages.len() - left;
        let path = format!(
            "/api/v1/applications/{}/chats/{}/messages",
            self.load.application, self.chats[chat]
        );
        for (index, message) in messages.iter().enumerate().skip(first).take(slice) {
            let line = index + 1;
            let key = format!("chat-{}-line-{line}", chat + 1);
            let call = Call::post(&path, message)?.with_key(key)?;
            let answer = client
                .send_until_answered(&call, self.load.patience)
                .await?;
            let place = || format!("line {line} of chat `{}`", self.corpus.chats[chat].name);
            let number = created(&answer).with_context(place)?;
            self.take_number(chat, line, number).with_context(place)?;
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn take_number(&self, chat: usize, line: usize, number: u64) -> Result<()> {
        let mut numbers = lock(&self.numbers[chat]);
        let may_leap = self.load.numbering == Numbering::Leaping;
        ensure!(
            may_leap || number == line as u64,
            "it was numbered {number}"
        );
        numbers.push(number);
        Ok(())
    }

    fn take(&self) -> Option<Open> {
        lock(&self.open).pop()
    }

    fn give_back(&self, open: Open) {
        lock(&self.open).push(open);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn created(answer: &Answer) -> Result<u64> {
    answer.expect_status(201)?;
    Ok(answer.json::<Numbered>()?.number)
}
