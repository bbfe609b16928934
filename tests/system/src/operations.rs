//! The operations of the HTTP contract as data, and a scene of real things to try them on.

use std::fmt;

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::json;

use crate::{
    client::{Call, Client},
    problem::expect_not_found,
    stage::{Application, Stage},
};

/// One operation: a method on a path.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// The status of a valid call on a [`Scene`].
    pub status: u16,
    /// A valid body, where it needs or takes one.
    pub body: Option<&'static str>,
    /// The text fields of the body that are stored.
    pub texts: &'static [Text],
    /// Whether it takes an `Idempotency-Key`.
    pub takes_key: bool,
    /// Its query parameters, but for those that make a search of a list, and `force` of a replay.
    pub parameters: &'static [&'static str],
}

/// A field of a body: a text that is stored as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// The field's name.
    pub name: &'static str,
    /// Whether it may be left out, or null.
    pub presence: Presence,
    /// How long it may be.
    pub longest: Longest,
}

/// Whether a field may be left out, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must be there and not null.
    Required,
    /// It must be there; null clears it.
    Clearable,
    /// It may be left out, and null means the same.
    Optional,
}

/// How long a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longest {
    /// So many Unicode scalar values.
    Characters(usize),
    /// So many bytes.
    Bytes(usize),
}

const NAME: Text = Text {
    name: "name",
    presence: Presence::Required,
    longest: Longest::Characters(255),
};
const NEW_TITLE: Text = Text {
    name: "title",
    presence: Presence::Optional,
    longest: Longest::Characters(255),
};
const TITLE: Text = Text {
    presence: Presence::Clearable,
    ..NEW_TITLE
};
const BODY: Text = Text {
    name: "body",
    presence: Presence::Required,
    longest: Longest::Bytes(32_768),
};
const SENDER: Text = Text {
    name: "sender",
    presence: Presence::Optional,
    longest: Longest::Characters(255),
};

/// The parameters of lists by number.
const BY_NUMBER: &[&str] = &["after", "before", "limit", "order"];

/// The parameters of lists that are read by their cursor.
const BY_CURSOR: &[&str] = &["cursor", "limit"];

/// The parameters of search.
const BY_QUERY: &[&str] = &["query", "cursor", "limit"];

const APPLICATIONS: &str = "/api/v1/applications";
const APPLICATION: &str = "/api/v1/applications/{token}";
const CHATS: &str = "/api/v1/applications/{token}/chats";
const CHAT: &str = "/api/v1/applications/{token}/chats/{chat}";
const MESSAGES: &str = "/api/v1/applications/{token}/chats/{chat}/messages";
const SEARCH: &str = "/api/v1/applications/{token}/chats/{chat}/messages/search";
const MESSAGE: &str = "/api/v1/applications/{token}/chats/{chat}/messages/{message}";
const REBUILD: &str = "/api/v1/admin/search/rebuild";

/// Every operation of the contract.
pub const OPERATIONS: [Operation; 31] = [
    writing("POST", APPLICATIONS, 201, r#"{"name": "a"}"#, &[NAME]),
    listing(APPLICATIONS, BY_CURSOR),
    reading(APPLICATION),
    writing("PATCH", APPLICATION, 200, r#"{"name": "b"}"#, &[NAME]),
    writing("PUT", APPLICATION, 200, r#"{"name": "c"}"#, &[NAME]),
    bare("DELETE", APPLICATION, 204),
    creating(CHATS, r#"{"title": "a"}"#, &[NEW_TITLE]),
    listing(CHATS, BY_NUMBER),
    reading(CHAT),
    writing("PATCH", CHAT, 200, r#"{"title": "b"}"#, &[TITLE]),
    writing("PUT", CHAT, 200, r#"{"title": "c"}"#, &[TITLE]),
    bare("DELETE", CHAT, 204),
    creating(MESSAGES, r#"{"body": "a", "sender": "b"}"#, &[BODY, SENDER]),
    listing(MESSAGES, BY_NUMBER),
    reading(MESSAGE),
    writing("PATCH", MESSAGE, 200, r#"{"body": "b"}"#, &[BODY]),
    writing("PUT", MESSAGE, 200, r#"{"body": "c"}"#, &[BODY]),
    bare("DELETE", MESSAGE, 204),
    listing(SEARCH, BY_QUERY),
    writing("POST", SEARCH, 200, r#"{"query": ""}"#, &[]),
    listing("/api/v1/chats", BY_CURSOR),
    listing("/api/v1/messages", BY_CURSOR),
    listing("/api/v1/messages/search", BY_QUERY),
    reading(REBUILD),
    bare("POST", REBUILD, 202),
    listing("/api/v1/admin/dead-letters", BY_CURSOR),
    bare("POST", "/api/v1/admin/dead-letters/{id}/replay", 404),
    bare("DELETE", "/api/v1/admin/dead-letters/{id}", 404),
    reading("/health/live"),
    reading("/health/ready"),
    reading("/metrics"),
];

const fn bare(method: &'static str, path: &'static str, status: u16) -> Operation {
    Operation {
        method,
        path,
        status,
        body: None,
        texts: &[],
        takes_key: false,
        parameters: &[],
    }
}

const fn listing(path: &'static str, parameters: &'static [&'static str]) -> Operation {
    Operation {
        parameters,
        ..reading(path)
    }
}

const fn reading(path: &'static str) -> Operation {
    bare("GET", path, 200)
}

const fn writing(
    method: &'static str,
    path: &'static str,
    status: u16,
    body: &'static str,
    texts: &'static [Text],
) -> Operation {
    Operation {
        body: Some(body),
        texts,
        ..bare(method, path, status)
    }
}

const fn creating(path: &'static str, body: &'static str, texts: &'static [Text]) -> Operation {
    Operation {
        takes_key: true,
        ..writing("POST", path, 201, body, texts)
    }
}

impl Operation {
    /// Finds the operation of a method on a path.
    ///
    /// # Errors
    ///
    /// Fails where the contract has none.
    pub fn find(method: &str, path: &str) -> Result<&'static Self> {
        let mut operations = OPERATIONS.iter();
        operations
            .find(|operation| (operation.method, operation.path) == (method, path))
            .with_context(|| format!("the contract has no {method} {path}"))
    }

    /// Returns the most items that its pages can have.
    #[must_use]
    pub fn largest_limit(&self) -> u64 {
        if self.path.ends_with("/search") {
            100
        } else {
            1_000
        }
    }

    /// Tells whether only operators may use it.
    #[must_use]
    pub fn is_for_admins(&self) -> bool {
        self.path.starts_with("/api/v1/")
            && !self.path.starts_with(APPLICATION)
            && (self.method, self.path) != ("POST", APPLICATIONS)
    }

    /// Tells whether its body may be left out.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        self.path == CHATS
    }

    /// Makes a valid call to it on the things of `scene`.
    ///
    /// # Errors
    ///
    /// Fails where the scene's path is no address.
    pub fn call(&self, scene: &Scene) -> Result<Call> {
        let method: Method = self.method.parse().context("reading a method")?;
        let call = Call::try_new(method, &scene.fill(self.path))?;
        Ok(match self.body {
            Some(body) => call.with_body("application/json", body),
            None => call,
        })
    }
}

/// Shows the method and the path, for messages.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// An application with a chat with a message: what the parts of a path name.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The application.
    pub application: Application,
    /// The chat's number.
    pub chat: String,
    /// The message's number.
    pub message: String,
    /// The id of a dead letter that does not exist.
    pub letter: String,
}

impl Scene {
    /// Creates the application, the chat and the message.
    ///
    /// # Errors
    ///
    /// Fails when they cannot be created.
    pub async fn set(stage: &mut Stage) -> Result<Self> {
        let application = stage.application().await?;
        let messages = stage.messages(&application).await?;
        let message = json!({"body": "said", "sender": "ada"});
        stage.create(&messages, &message).await?;
        Ok(Self {
            application,
            chat: "1".to_owned(),
            message: "1".to_owned(),
            letter: "0000000000000000".to_owned(),
        })
    }

    /// Fills in the parameters of a path.
    #[must_use]
    pub fn fill(&self, path: &str) -> String {
        path.replace("{token}", &self.application.token)
            .replace("{chat}", &self.chat)
            .replace("{message}", &self.message)
            .replace("{id}", &self.letter)
    }

    /// Returns the path of the chat.
    #[must_use]
    pub fn chat(&self) -> String {
        self.fill(CHAT)
    }

    /// Returns the path of the chat's messages.
    #[must_use]
    pub fn messages(&self) -> String {
        self.fill(MESSAGES)
    }

    /// Returns the path of the message.
    #[must_use]
    pub fn message(&self) -> String {
        self.fill(MESSAGE)
    }

    /// Checks that each operation with `part` in its path answers 404.
    ///
    /// # Errors
    ///
    /// Fails with the first operation that answers otherwise.
    pub async fn expect_gone(&self, client: &mut Client, part: &str) -> Result<()> {
        for operation in OPERATIONS.iter().filter(|one| one.path.contains(part)) {
            let answer = client.send(&operation.call(self)?).await?;
            expect_not_found(&answer).with_context(|| operation.to_string())?;
        }
        Ok(())
    }
}
