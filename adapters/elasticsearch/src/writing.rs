//! Writes changes into a generation: many by one bulk request, each with an outcome of its own.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use chat_core::{
    model::{Generation, GenerationState},
    ports::{Applied, IndexChange},
};
use elasticsearch::http::Method;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    client::{Call, Client, Reason, pause},
    document::{Document, chat_name, id},
    error::{Failure, may_pass, means_no_index},
};

/// How many attempts a change has that the server cannot take for now.
const ATTEMPTS: u32 = 4;

/// How many requests of one call are in flight at once, so that the next is prepared meanwhile.
const AT_ONCE: usize = 2;

/// How many documents are deleted by one request.
const DELETED: u64 = 2_000;

/// How long one call deletes documents below chats and applications, not counting its last request.
///
/// All other changes wait meanwhile.
const DELETING: Duration = Duration::from_millis(500);

/// Limits the answer to a bulk request to what is read of it.
const OF_BULK: &str = "items.*.status,items.*.error.type";

/// Writes the changes of one call.
pub(crate) struct Writing<'a> {
    pub(crate) client: &'a Client,
    /// The generation's alias.
    pub(crate) alias: &'a str,
    pub(crate) generation: &'a Generation,
    pub(crate) bulk_bytes: usize,
    /// Whether it has several shards, so that one request's refresh may not cover what others wrote.
    pub(crate) is_spread: bool,
    pub(crate) deadline: Instant,
}

/// The lines of one bulk request.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Each change's place in the call, and its range of `bytes`.
    changes: Vec<(usize, Range<usize>)>,
}

/// The action line of a change: which document it writes, and in which version.
#[derive(Serialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    routing: u64,
    version: u64,
    version_type: &'static str,
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<Item>,
}

/// The outcome of one line of a bulk request, whatever its action.
#[derive(Deserialize)]
struct Item {
    #[serde(alias = "index", alias = "delete")]
    outcome: ItemOutcome,
}

#[derive(Deserialize)]
struct ItemOutcome {
    status: u16,
    error: Option<Reason>,
}

#[derive(Deserialize)]
struct Deleted {
    deleted: u64,
    version_conflicts: u64,
}

impl Writing<'_> {
    /// Writes changes in their order as far as there is time, and tells how each has ended.
    pub(crate) async fn apply(&self, changes: &[IndexChange]) -> Result<Vec<Applied>, Failure> {
        let mut applied = vec![Applied::Unfinished; changes.len()];
        match self.write(changes, &mut applied).await {
            // What is written already need not be written again.
            Err(Failure::Late) if applied.contains(&Applied::Done) => Ok(applied),
            outcome => outcome.map(|()| applied),
        }
    }

    async fn write(&self, changes: &[IndexChange], applied: &mut [Applied]) -> Result<(), Failure> {
        let (mut lines, mut parents) = (Lines::default(), Vec::new());
        let mut on_the_way = FuturesUnordered::new();
        let waits = self.is_read() && self.is_spread;
        for (at, change) in changes.iter().enumerate() {
            // Deleting a parent keeps its place among the changes; writes of one message are ordered by
            // their versions.
            match change {
                IndexChange::DeleteChat(_) | IndexChange::DeleteApplication(_) => {
                    on_the_way.push(self.flush(std::mem::take(&mut lines), waits));
                    while let Some(outcomes) = on_the_way.next().await {
                        note(applied, outcomes?);
                    }
                    parents.push(at);
                }
                IndexChange::Put(_) | IndexChange::Delete { .. } => {
                    self.delete(changes, &mut parents, applied).await?;
                    let before = lines.bytes.len();
                    lines.add(at, change)?;
                    if lines.bytes.len() > self.bulk_bytes {
                        let last = lines.take_last(before);
                        on_the_way.push(self.flush(std::mem::replace(&mut lines, last), waits));
                        // Poll it once, so that it is sent now.
                        let mut next = on_the_way.next().now_or_never();
                        if next.is_none() && on_the_way.len() >= AT_ONCE {
                            next = Some(on_the_way.next().await);
                        }
                        if let Some(Some(outcomes)) = next {
                            note(applied, outcomes?);
                        }
                    }
                }
            }
        }
        self.delete(changes, &mut parents, applied).await?;
        while let Some(outcomes) = on_the_way.next().await {
            note(applied, outcomes?);
        }
        // The last one waits for a refresh, after which all can be found.
        note(applied, self.flush(lines, self.is_read()).await?);
        Ok(())
    }

    /// Whether what was written has to be findable at the end.
    fn is_read(&self) -> bool {
        self.generation.state == GenerationState::Serving
    }

    /// Writes lines, retrying those that the server cannot take for now, and returns their outcomes.
    async fn flush(&self, mut lines: Lines, waits: bool) -> Result<Vec<(usize, Applied)>, Failure> {
        let (mut ended, mut attempts) = (Vec::new(), 1);
        while !lines.changes.is_empty() {
            let whole = std::mem::take(&mut lines);
            let bytes = Bytes::from(whole.bytes);
            let is_last = attempts == ATTEMPTS;
            for (at, place, outcome) in self.bulk(&bytes, whole.changes, waits).await? {
                let is_to_come = matches!(outcome, Applied::Retry { .. }) && !is_last;
                if let Some(line) = bytes.get(place).filter(|_| is_to_come) {
                    lines.copy(at, line);
                }
                // Of several outcomes of a change the last one counts.
                ended.push((at, outcome));
            }
            if !lines.changes.is_empty() && !pause(attempts, self.deadline).await {
                break;
            }
            attempts += 1;
        }
        Ok(ended)
    }

    async fn bulk(
        &self,
        bytes: &Bytes,
        changes: Vec<(usize, Range<usize>)>,
        waits: bool,
    ) -> Result<Vec<(usize, Range<usize>, Applied)>, Failure> {
        // All that wait for the next refresh share it, instead of forcing one each.
        let refresh = if waits { "wait_for" } else { "false" };
        let call = Call {
            method: Method::Post,
            path: format!("/{}/_bulk", self.alias),
            query: &[
                ("require_alias", "true"),
                ("refresh", refresh),
                ("filter_path", OF_BULK),
            ],
            body: Some(bytes.clone()),
        };
        let answer: BulkAnswer = self.client.ask(&call, self.deadline).await?;
        if answer.items.len() != changes.len() {
            return Err(Failure::Strange(
                "an answer with an outcome for each change",
            ));
        }
        let items = answer.items.into_iter().zip(changes);
        items
            .map(|(item, (at, place))| Ok((at, place, item.outcome.read()?)))
            .collect()
    }

    /// Removes all that lies under some chats and applications.
    async fn delete(
        &self,
        changes: &[IndexChange],
        parents: &mut Vec<usize>,
        applied: &mut [Applied],
    ) -> Result<(), Failure> {
        if parents.is_empty() {
            return Ok(());
        }
        let (mut chats, mut applications) = (Vec::new(), Vec::new());
        for change in parents.iter().filter_map(|at| changes.get(*at)) {
            match change {
                IndexChange::DeleteChat(key) => chats.push(chat_name(*key)),
                IndexChange::DeleteApplication(id) => applications.push(id.get()),
                IndexChange::Put(_) | IndexChange::Delete { .. } => {}
            }
        }
        let under = json!({"query": {"bool": {"should": [
            {"terms": {"chat": chats}},
            {"terms": {"application": applications}},
        ], "minimum_should_match": 1}}});
        let outcome = if self.delete_by(&under).await? {
            Applied::Done
        } else {
            Applied::Unfinished
        };
        let outcomes = parents.drain(..).map(|at| (at, outcome.clone()));
        note(applied, outcomes.collect());
        Ok(())
    }

    /// Deletes what a query finds, in portions; `false` where something may be left.
    async fn delete_by(&self, query: &Value) -> Result<bool, Failure> {
        let most = DELETED.to_string();
        let call = Call {
            method: Method::Post,
            path: format!("/{}/_delete_by_query", self.alias),
            query: &[("conflicts", "proceed"), ("max_docs", &most)],
            body: Some(Bytes::from(query.to_string())),
        };
        let until = Instant::now() + DELETING;
        loop {
            // A delete by query sees only what was refreshed before.
            refresh(self.client, self.alias, self.deadline).await?;
            let Deleted {
                deleted,
                version_conflicts,
            } = match self.client.ask(&call, self.deadline).await {
                Err(Failure::Late) => return Ok(false),
                answer => answer?,
            };
            if deleted < DELETED && version_conflicts == 0 {
                break;
            }
            if Instant::now() >= until || !pause(1, self.deadline).await {
                return Ok(false);
            }
        }
        if self.is_read() {
            refresh(self.client, self.alias, self.deadline).await?;
        }
        Ok(true)
    }
}

fn note(applied: &mut [Applied], outcomes: Vec<(usize, Applied)>) {
    for (at, outcome) in outcomes {
        if let Some(applied) = applied.get_mut(at) {
            *applied = outcome;
        }
    }
}

/// Makes what was written findable at once.
pub(crate) async fn refresh(client: &Client, name: &str, deadline: Instant) -> Result<(), Failure> {
    let call = Call::plain(Method::Post, format!("/{name}/_refresh"));
    client.ask::<Value>(&call, deadline).await.map(drop)
}

impl Lines {
    fn add(&mut self, at: usize, change: &IndexChange) -> Result<(), Failure> {
        let start = self.bytes.len();
        let (key, version, action) = match change {
            IndexChange::Put(message) => (message.key, message.version, b"{\"index\":".as_slice()),
            IndexChange::Delete { key, version } => (*key, *version, b"{\"delete\":".as_slice()),
            IndexChange::DeleteChat(_) | IndexChange::DeleteApplication(_) => return Ok(()),
        };
        let line = Line {
            id: id(key),
            routing: key.application.get(),
            version,
            version_type: "external",
        };
        let unwritable = |_| Failure::Strange("a change that can be written as JSON");
        self.bytes.extend_from_slice(action);
        serde_json::to_writer(&mut self.bytes, &line).map_err(unwritable)?;
        self.bytes.extend_from_slice(b"}\n");
        if let IndexChange::Put(message) = change {
            serde_json::to_writer(&mut self.bytes, &Document::of(message)).map_err(unwritable)?;
            self.bytes.push(b'\n');
        }
        self.changes.push((at, start..self.bytes.len()));
        Ok(())
    }

    fn copy(&mut self, at: usize, line: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.changes.push((at, start..self.bytes.len()));
    }

    /// Splits off the last change, which begins at `start`.
    fn take_last(&mut self, start: usize) -> Self {
        let mut last = Self::default();
        if let Some((at, _)) = self.changes.pop() {
            last.copy(at, &self.bytes.split_off(start));
        }
        last
    }
}

impl ItemOutcome {
    /// Turns it into a change's outcome; fails where the error concerns all changes alike.
    fn read(self) -> Result<Applied, Failure> {
        let code = self.error.map(|reason| reason.code);
        let detail = || {
            let code = code.as_deref().unwrap_or("no reason");
            format!("Elasticsearch answered {} with `{code}`", self.status)
        };
        match (self.status, code.as_deref()) {
            // A 409 means that this version or a later one is there, a bare 404 that there was nothing to
            // delete.
            (200..=299 | 409, _) | (404, None) => Ok(Applied::Done),
            (_, Some(code)) if means_no_index(code) => Err(Failure::Missing),
            // Privileges and room are the same for each message, so none of them is at fault.
            (status @ (401 | 403), Some(code)) => Err(Failure::Refused {
                status,
                code: code.to_owned(),
            }),
            (status, _) if may_pass(status) => Ok(Applied::Retry { detail: detail() }),
            _ => Ok(Applied::Refused { detail: detail() }),
        }
    }
}
