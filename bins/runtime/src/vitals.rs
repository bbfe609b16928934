//! Health checks of what a program depends on.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_core::{
    PortError,
    ports::{Backlog, Counter, OutboxBacklog, Ports, Queue, Repository, SearchIndex},
};
use tokio::{sync::Mutex, time::timeout};

/// How long a sign of life may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long an answer is cached, so that many who ask cost no more than a few.
const TOLD_FOR: Duration = Duration::from_millis(250);

/// Checks the health of the ports that a program depends on.
#[derive(Clone)]
pub struct Vitals {
    repository: Arc<dyn Repository>,
    counter: Arc<dyn Counter>,
    queue: Arc<dyn Queue>,
    search: Arc<dyn SearchIndex>,
    latest: Arc<Latest>,
}

/// The cached answers.
#[derive(Default)]
struct Latest {
    signs: Told<Signs>,
    backlog: Told<Result<Backlog, String>>,
    outbox: Told<Result<OutboxBacklog, String>>,
}

/// The health of each port: in order, or what is wrong with it.
#[derive(Clone)]
pub struct Signs {
    /// What keeps everything.
    pub repository: Result<(), String>,
    /// What numbers chats and messages.
    pub counter: Result<(), String>,
    /// What carries creations to where they are stored.
    pub queue: Result<(), String>,
    /// Whether creations are accepted even while the queue is away, because the counter keeps them.
    pub queue_may_be_away: bool,
    /// What finds messages.
    pub search: Result<(), String>,
}

/// The state of the program as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything works.
    Ready,
    /// Everything works except search, or except a queue that creations can do without for a while.
    Degraded,
    /// Something is down that is always needed.
    Down,
}

impl State {
    /// The state's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl Signs {
    /// Each sign with the name of its port.
    pub fn named(&self) -> [(&'static str, &Result<(), String>); 4] {
        [
            ("repository", &self.repository),
            ("counter", &self.counter),
            ("queue", &self.queue),
            ("search", &self.search),
        ]
    }

    /// Sums them up into the state of the whole.
    #[must_use]
    pub fn state(&self) -> State {
        let can_queue = self.queue.is_ok();
        let needed = [
            self.repository.is_ok(),
            self.counter.is_ok(),
            can_queue || self.queue_may_be_away,
        ];
        if !needed.into_iter().all(|works| works) {
            State::Down
        } else if self.search.is_err() || !can_queue {
            State::Degraded
        } else {
            State::Ready
        }
    }
}

impl Vitals {
    /// Watches these ports.
    #[must_use]
    pub fn new(ports: &Ports) -> Self {
        Self {
            repository: Arc::clone(&ports.repository),
            counter: Arc::clone(&ports.counter),
            queue: Arc::clone(&ports.queue),
            search: Arc::clone(&ports.search),
            latest: Arc::default(),
        }
    }

    /// Asks each port for a sign of life, with a timeout; the answer is cached for a moment.
    pub async fn look(&self) -> Signs {
        self.latest.signs.or_ask(self.ask()).await
    }

    async fn ask(&self) -> Signs {
        let (repository, counter, queue, search) = tokio::join!(
            in_time(self.repository.check()),
            in_time(self.counter.check()),
            in_time(self.queue.check()),
            in_time(self.search.check()),
        );
        Signs {
            repository,
            counter,
            queue,
            queue_may_be_away: self.counter.leaves_publishing(),
            search,
        }
    }

    /// Reads how much waits to be stored.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong with the queue.
    pub async fn backlog(&self) -> Result<Backlog, String> {
        let asking = in_time(self.queue.backlog());
        self.latest.backlog.or_ask(asking).await
    }

    /// Reads how much waits to be indexed.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong with the repository.
    pub async fn outbox(&self) -> Result<OutboxBacklog, String> {
        let asking = in_time(self.repository.outbox_backlog());
        self.latest.outbox.or_ask(asking).await
    }
}

/// An answer, and when it came.
struct Told<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Told<T> {
    /// Answers from the cache while that is fresh, else asks; concurrent callers share the one question.
    async fn or_ask(&self, asking: impl Future<Output = T>) -> T {
        let mut latest = self.0.lock().await;
        if let Some((at, told)) = &*latest
            && at.elapsed() < TOLD_FOR
        {
            return told.clone();
        }
        let told = asking.await;
        *latest = Some((Instant::now(), told.clone()));
        told
    }
}

/// Awaits an answer with a timeout, and puts a failure into words.
async fn in_time<T>(asked: impl Future<Output = Result<T, PortError>>) -> Result<T, String> {
    match timeout(DEADLINE, asked).await {
        Ok(answer) => {
            // Leave out the error's source, which is in the driver's own words.
            answer.map_err(|error| error.to_string())
        }
        Err(_) => Err("no answer in time".to_owned()),
    }
}
