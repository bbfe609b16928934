//! What most tests begin with: a started `api` on an empty folder, and short ways to create in it.

use std::{cell::RefCell, future::Future, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Call, Client},
    program::{Program, scratch},
};

/// The methods that change a thing; both do the same.
pub const CHANGING: [Method; 2] = [Method::PATCH, Method::PUT];

/// A started `api` on a folder of its own, and a client of it.
#[derive(Debug)]
pub struct Stage {
    /// The started program; dropped, and so killed, before its folder.
    pub api: Program,
    /// A client of it.
    pub client: Client,
    folder: TempDir,
}

impl Stage {
    /// Starts `api` with its default settings.
    ///
    /// # Errors
    ///
    /// Fails when it is not built or does not answer.
    pub async fn open() -> Result<Self> {
        Self::open_with(&[]).await
    }

    /// Starts `api` with these settings in its environment.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn open_with(settings: &[(&'static str, &str)]) -> Result<Self> {
        let folder = scratch()?;
        let api = Program::api(folder.path(), settings).await?;
        let client = api.client();
        let stage = Self {
            api,
            client,
            folder,
        };
        stage.until_ready().await?;
        Ok(stage)
    }

    /// Waits until everything works, search included.
    ///
    /// # Errors
    ///
    /// Fails when it does not in some seconds.
    pub async fn until_ready(&self) -> Result<()> {
        eventually("the server is ready", || async {
            let readiness = self.api.client().get("/health/ready").await?;
            let readiness = readiness.expect(200)?;
            Ok((readiness["status"] == "ready").then_some(()))
        })
        .await
    }

    /// Waits until whatever was created before is found.
    ///
    /// Changes are carried into the index in their order, so it looks for one that comes last.
    ///
    /// # Errors
    ///
    /// Fails when it is not found in some seconds.
    pub async fn until_searchable(&mut self) -> Result<()> {
        let application = self.application().await?;
        let messages = self.messages(&application).await?;
        self.create(&messages, &json!({"body": "last"})).await?;
        let path = format!("{messages}/search?query=last");
        let api = &self.api;
        eventually("what was created is found", || async {
            let page = api.client().get(&path).await?.expect(200)?;
            Ok((!numbers(&page).is_empty()).then_some(()))
        })
        .await?;
        self.delete(&application.path).await
    }

    /// Answers the folder that `api` was given as its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
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

    /// Creates a chat without a title and answers its path.
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

    /// Creates a chat and answers the path of its messages.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn messages(&mut self, application: &Application) -> Result<String> {
        Ok(format!("{}/messages", self.chat(application).await?))
    }

    /// Opens a stage with one chat and answers the path of its messages too.
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
    /// Fails when it does not come to that, with what it came to.
    pub async fn expect_count(&self, path: &str, field: &str, wanted: u64) -> Result<()> {
        let last = RefCell::new(Value::Null);
        let (api, seen) = (&self.api, &last);
        let counted = eventually("the count is right", || async move {
            let count = api.client().get(path).await?.expect(200)?[field].take();
            let is_right = count == wanted;
            seen.replace(count);
            Ok(is_right.then_some(()))
        })
        .await;
        let last = last.into_inner();
        counted.with_context(|| format!("`{field}` of {path} should be {wanted}, and is {last}"))
    }

    /// Creates one object and answers it.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 201.
    pub async fn create(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.client.post(path, body).await?.expect(201)
    }

    /// Changes one object, by one of [`CHANGING`], and answers it.
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

/// A created application.
#[derive(Clone, Debug)]
pub struct Application {
    /// The token that addresses it.
    pub token: String,
    /// The path of it.
    pub path: String,
}

impl Application {
    /// Answers the path of its chats.
    #[must_use]
    pub fn chats(&self) -> String {
        format!("{}/chats", self.path)
    }
}

/// Answers the names of an object's fields, sorted.
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

/// Answers the numbers of a page's items, in their order.
#[must_use]
pub fn numbers(page: &Value) -> Vec<u64> {
    item_numbers(page["items"].as_array().map_or(&[], Vec::as_slice))
}

/// Answers the numbers of items, in their order; zero where one has none.
#[must_use]
pub fn item_numbers(items: &[Value]) -> Vec<u64> {
    let numbers = items.iter().map(|item| item["number"].as_u64());
    numbers.map(Option::unwrap_or_default).collect()
}

/// Looks again and again until `look` finds what is waited for.
///
/// # Errors
///
/// Fails with `what` when it was not found in five seconds, and as `look` does.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > give_up {
            bail!("waited in vain until {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
}
