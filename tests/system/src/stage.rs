//! What most tests begin with: an empty system, and shortcuts to create things in it.

use std::{
    cell::RefCell,
    future::Future,
    ops::{Deref, DerefMut},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::{Method, http::uri::Authority};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Call, Client},
    exposition::Exposition,
    ground::Ground,
    program::{Program, scratch},
    programs::{Programs, Setting},
    servers::Servers,
    set::Set,
};

/// The methods that change a thing; both do the same.
pub const CHANGING: [Method; 2] = [Method::PATCH, Method::PUT];

/// How long it may take until a whole corpus is found.
const LONG: Duration = Duration::from_mins(3);

/// A running system, and a client of it.
#[derive(Debug)]
pub struct Stage {
    /// A client of it, whose requests go to each `api` in turn.
    pub client: Client,
    set: Set,
    servers: Servers,
    // Fields are dropped in this order: the programs end before their servers and their folder.
    programs: Programs,
    _ground: Option<Ground>,
    folder: TempDir,
    asked: AtomicUsize,
}

impl Stage {
    /// Starts a system with its default settings, on the set that `CHAT_E2E` names.
    ///
    /// # Errors
    ///
    /// Fails when a program is not built or does not answer, or the set's servers are not named.
    pub async fn open() -> Result<Self> {
        Self::open_with(&[]).await
    }

    /// Starts it with these settings in the programs' environment.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn open_with(settings: &[Setting<'_>]) -> Result<Self> {
        Self::open_on(Set::chosen()?, settings).await
    }

    /// Starts it on a set that the caller names.
    pub(crate) async fn open_on(set: Set, settings: &[Setting<'_>]) -> Result<Self> {
        let folder = scratch()?;
        let ground = Ground::open(set, folder.path()).await?;
        let programs = match &ground {
            None if set == Set::Entry => {
                ensure!(settings.is_empty(), "what runs already has its settings");
                Programs::default()
            }
            None => Programs::embedded(folder.path(), settings).await?,
            Some(ground) => {
                let settings: Vec<Setting> = ground.settings().chain(settings.to_vec()).collect();
                Programs::live(folder.path(), &settings).await?
            }
        };
        let servers = match set {
            Set::Entry => Set::entry()?.into(),
            _ => programs.servers(),
        };
        let stage = Self {
            client: Client::new(&servers),
            set,
            servers,
            programs,
            _ground: ground,
            folder,
            asked: AtomicUsize::new(0),
        };
        stage.until_ready().await?;
        Ok(stage)
    }

    /// Returns the set that it is on.
    #[must_use]
    pub fn set(&self) -> Set {
        self.set
    }

    /// Returns the address of every `api`, or of the entry point in front of them.
    #[must_use]
    pub fn servers(&self) -> Servers {
        self.servers.clone()
    }

    /// Makes another client of them.
    #[must_use]
    pub fn another_client(&self) -> Client {
        Client::new(self.servers())
    }

    /// Returns the address of one `api`, round-robin.
    ///
    /// # Panics
    ///
    /// Never: there is one at least.
    #[must_use]
    pub fn one_api(&self) -> &Authority {
        let next = self.asked.fetch_add(1, Ordering::Relaxed);
        self.servers.one(next)
    }

    /// Returns each `api`.
    #[must_use]
    pub fn apis(&mut self) -> &mut [Program] {
        &mut self.programs.apis
    }

    /// Kills every program as `kill -9` does, and starts all of them again.
    ///
    /// A system of [`Set::Entry`] is not ours to kill, and goes on.
    ///
    /// # Errors
    ///
    /// Fails when one had ended by itself, or does not start again.
    pub async fn crash(&mut self) -> Result<()> {
        self.programs.kill()?;
        self.programs.restart().await
    }

    /// Waits until each `api` reports that it and its dependencies are ready.
    ///
    /// # Errors
    ///
    /// Fails when one does not answer 200, or is not ready in ten seconds.
    pub async fn until_ready(&self) -> Result<()> {
        for api in self.servers() {
            eventually("the server is ready", || async {
                let readiness = Client::new(&api).get("/health/ready").await?;
                Ok((readiness.expect(200)?["status"] == "ready").then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until search finds all that was created before, which may be a whole corpus.
    ///
    /// It creates one more message, waits until nothing is left to be stored and then to be indexed, and
    /// searches for that message: once it is found, so is what was indexed before it.
    ///
    /// # Errors
    ///
    /// Fails when it is not found in some minutes.
    pub async fn until_searchable(&mut self) -> Result<()> {
        let application = self.application().await?;
        let messages = self.messages(&application).await?;
        self.create(&messages, &json!({"body": "last"})).await?;
        let path = format!("{messages}/search?query=last");
        let stage = &*self;
        // With several workers, the last message can be found before earlier ones are indexed.
        for waiting in ["chat_queue_entries", "chat_outbox_rows"] {
            within(LONG, "nothing waits to be stored or indexed", || async {
                let answer = stage.another_client().get("/metrics").await?;
                let count = Exposition::read(&answer)?.value(waiting);
                Ok(count.filter(|count| *count == 0.0).map(drop))
            })
            .await?;
        }
        within(LONG, "what was created is found", || async {
            let page = stage.another_client().get(&path).await?.expect(200)?;
            Ok((!numbers(&page).is_empty()).then_some(()))
        })
        .await?;
        self.delete(&application.path).await
    }

    /// Creates an application.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn application(&mut self) -> Result<Application> {
        let application = self
            .create("/api/v1/applications", &json!({"name": "test"}))
            .await?;
        let token = application["token"]
            .as_str()
            .context("an application has a token")?;
        Ok(Application {
            path: format!("/api/v1/applications/{token}"),
            token: token.to_owned(),
        })
    }

    /// Creates a chat without a title and returns its path.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn chat(&mut self, application: &Application) -> Result<String> {
        let chat = self
            .client
            .post(&application.chats(), &json!({}))
            .await?
            .expect(201)?;
        Ok(format!("{}/{}", application.chats(), chat["number"]))
    }

    /// Creates a chat and returns the path of its messages.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn messages(&mut self, application: &Application) -> Result<String> {
        Ok(format!("{}/messages", self.chat(application).await?))
    }

    /// Opens a stage with one chat and returns the path of its messages too.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and when the chat cannot be created.
    pub async fn open_with_chat() -> Result<(Self, String)> {
        let mut stage = Self::open().await?;
        let application = stage.application().await?;
        let messages = stage.messages(&application).await?;
        Ok((stage, messages))
    }

    /// Waits until the object at `path` counts `wanted` things in `field`.
    ///
    /// # Errors
    ///
    /// Fails with the last count seen when it is not right in ten seconds.
    pub async fn expect_count(&self, path: &str, field: &str, wanted: u64) -> Result<()> {
        let last = RefCell::new(Value::Null);
        let (stage, seen) = (self, &last);
        let counted = eventually("the count is right", || async move {
            let count = stage.another_client().get(path).await?.expect(200)?[field].take();
            let is_right = count == wanted;
            seen.replace(count);
            Ok(is_right.then_some(()))
        })
        .await;
        let last = last.into_inner();
        counted.with_context(|| format!("`{field}` of {path} should be {wanted}, and is {last}"))
    }

    /// Creates one object and returns it.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn create(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.client.post(path, body).await?.expect(201)
    }

    /// Changes one object, by one of [`CHANGING`], and returns it.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 200.
    pub async fn change(&mut self, way: &Method, path: &str, body: &Value) -> Result<Value> {
        let call = Call::json(way.clone(), path, body)?;
        self.client.send(&call).await?.expect(200)
    }

    /// Deletes one object.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 204, or has a body.
    pub async fn delete(&mut self, path: &str) -> Result<()> {
        self.client.delete(path).await?.expect_empty(204)
    }

    /// Reads one object or page.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 200.
    pub async fn read(&mut self, path: &str) -> Result<Value> {
        self.client.get(path).await?.expect(200)
    }
}

/// A stage on the embedded set whatever `CHAT_E2E` says, for tests of what that set alone has.
#[derive(Debug)]
pub struct Embedded(Stage);

impl Embedded {
    /// Starts an `api` with its default settings.
    ///
    /// # Errors
    ///
    /// Fails when it is not built or does not answer.
    pub async fn open() -> Result<Self> {
        Self::open_with(&[]).await
    }

    /// Starts an `api` with these settings in its environment.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn open_with(settings: &[Setting<'_>]) -> Result<Self> {
        Ok(Self(Stage::open_on(Set::Embedded, settings).await?))
    }

    /// Returns the only `api`.
    ///
    /// # Panics
    ///
    /// Never: there is one.
    #[must_use]
    pub fn api(&mut self) -> &mut Program {
        &mut self.0.programs.apis[0]
    }

    /// Returns the folder that `api` was given as its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.folder.path().join("data")
    }
}

impl Deref for Embedded {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

impl DerefMut for Embedded {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.0
    }
}

/// A created application.
#[derive(Clone, Debug)]
pub struct Application {
    /// The token that addresses it.
    pub token: String,
    /// The path of it.
    pub path: String,
}

impl Application {
    /// Returns the path of its chats.
    #[must_use]
    pub fn chats(&self) -> String {
        format!("{}/chats", self.path)
    }
}

/// Returns the names of an object's fields, sorted.
#[must_use]
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// Returns the numbers of a page's items, in their order.
#[must_use]
pub fn numbers(page: &Value) -> Vec<u64> {
    item_numbers(page["items"].as_array().map_or(&[], Vec::as_slice))
}

/// Returns the numbers of items, in their order; zero where one has none.
#[must_use]
pub fn item_numbers(items: &[Value]) -> Vec<u64> {
    let numbers = items.iter().map(|item| item["number"].as_u64());
    numbers.map(Option::unwrap_or_default).collect()
}

/// Polls `look` until it finds what is waited for.
///
/// # Errors
///
/// Fails with `what` when it was not found in ten seconds, and as `look` does.
pub async fn eventually<T, F>(what: &str, look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    within(Duration::from_secs(10), what, look).await
}

/// Polls `look` for as long as `limit`.
///
/// # Errors
///
/// Fails with `what` when it was not found by then, and as `look` does.
pub async fn within<T, F>(limit: Duration, what: &str, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let give_up = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > give_up {
            bail!("waited {limit:?} in vain until {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
}
