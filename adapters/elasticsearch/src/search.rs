//! The port's implementation: a deadline for each call, and a memory of verified generations.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    PortError,
    model::Generation,
    ports::{Applied, IndexChange, SearchHit, SearchIndex, SearchQuery},
};
use elasticsearch::http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    ElasticsearchConfig, OpenError,
    client::{Call, Client, SIGN_OF_LIFE},
    error::Failure,
    generations::Generations,
    names::Names,
    query,
    writing::Writing,
};

/// The search index on one server.
pub struct ElasticsearchSearchIndex {
    config: ElasticsearchConfig,
    client: Client,
    names: Names,
    /// The generations that were found to be as this version makes them.
    verified: Mutex<BTreeSet<u64>>,
}

impl ElasticsearchSearchIndex {
    /// Prepares a client for the server, without connecting yet.
    ///
    /// # Errors
    ///
    /// Fails when a setting makes no sense.
    pub fn try_new(config: &ElasticsearchConfig) -> Result<Self, OpenError> {
        Ok(Self {
            client: Client::new(config)?,
            names: Names::try_new(&config.prefix)?,
            config: config.clone(),
            verified: Mutex::default(),
        })
    }

    /// Makes sure that the server answers, and is one that this adapter supports.
    ///
    /// # Errors
    ///
    /// Fails when it does not answer, or is too old.
    pub async fn examine(&self) -> Result<(), OpenError> {
        self.client.examine(self.config.search_timeout).await
    }

    fn generations(&self) -> Generations<'_> {
        self.generations_until(Instant::now() + self.config.write_timeout)
    }

    fn generations_until(&self, deadline: Instant) -> Generations<'_> {
        Generations {
            client: &self.client,
            names: &self.names,
            deadline,
        }
    }

    fn verified(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn verify(&self, number: u64, deadline: Instant) -> Result<(), Failure> {
        if !self.verified().contains(&number) {
            self.generations_until(deadline).verify(number).await?;
            self.verified().insert(number);
        }
        Ok(())
    }

    async fn write(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, Failure> {
        let deadline = Instant::now() + self.config.write_timeout;
        self.verify(generation.number, deadline).await?;
        let alias = self.names.alias(generation.number);
        let writing = Writing {
            client: &self.client,
            alias: &alias,
            generation,
            bulk_bytes: self.config.bulk_bytes,
            is_spread: self.config.shards > 1,
            deadline,
        };
        let applied = writing.apply(changes).await;
        let is_odd = |applied: &Applied| matches!(applied, Applied::Refused { .. });
        if applied.as_ref().map_or(true, |all| all.iter().any(is_odd)) {
            // Somebody may have replaced our index by another: then no message is at fault.
            self.verified().remove(&generation.number);
            if applied.is_ok() {
                self.verify(generation.number, deadline).await?;
            }
        }
        applied
    }

    async fn search(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, Failure> {
        let timeout = self.config.search_timeout;
        // The server's timeout is shorter, so that a search too expensive for it can be told from an
        // outage.
        let request = query::request(query, (timeout / 5 * 4).as_millis());
        let routing = query.chat.map(|chat| chat.application.to_string());
        // Ask for partial results, so that a failed shard can be told from an outage (some servers report
        // both alike); they are rejected below.
        let mut parameters = vec![("allow_partial_search_results", "true")];
        if let Some(routing) = &routing {
            parameters.push(("routing", routing));
        }
        let call = Call {
            method: Method::Post,
            path: format!("/{}/_search", self.names.serving()),
            query: &parameters,
            body: Some(Bytes::from(request.to_string())),
        };
        let answer: query::Answer = self.client.ask(&call, Instant::now() + timeout).await?;
        if answer.timed_out {
            return Err(Failure::Late);
        }
        if answer.lacks_shards() {
            return Err(Failure::Partial);
        }
        let hits = answer
            .into_hits()
            .ok_or(Failure::Strange("an answer with messages"))?;
        // Never pass on hits of another chat, even if the server returns them.
        let is_elsewhere =
            |hit: &SearchHit| query.chat.is_some_and(|chat| hit.key.chat_key() != chat);
        if hits.iter().any(is_elsewhere) {
            return Err(Failure::Strange(
                "an answer with messages of the chat alone",
            ));
        }
        Ok(hits)
    }
}

#[async_trait]
impl SearchIndex for ElasticsearchSearchIndex {
    #[tracing::instrument(
        level = "debug",
        name = "elasticsearch.search.apply",
        skip_all,
        fields(generation = generation.number, changes = changes.len()),
    )]
    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let applied = self.write(generation, changes).await;
        applied.map_err(|failure| failure.of("apply changes"))
    }

    #[tracing::instrument(level = "debug", name = "elasticsearch.search.find", skip_all)]
    async fn find(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        let found = self.search(query).await;
        found.map_err(|failure| failure.of("find messages"))
    }

    async fn create_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let generations = self.generations();
        let created = generations.create(generation.number, &self.config).await;
        created.map_err(|failure| failure.of("create a generation"))
    }

    async fn serve_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let served = self
            .generations()
            .serve(generation.number, self.config.refresh)
            .await;
        served.map_err(|failure| failure.of("serve a generation"))
    }

    async fn remove_generation(&self, generation: &Generation) -> Result<(), PortError> {
        self.verified().remove(&generation.number);
        let removed = self.generations().remove(generation.number).await;
        removed.map_err(|failure| failure.of("remove a generation"))
    }

    async fn remove_others(&self, kept: &Generation) -> Result<(), PortError> {
        self.verified().retain(|number| *number == kept.number);
        let removed = self.generations().remove_others(kept.number).await;
        removed.map_err(|failure| failure.of("remove other generations"))
    }

    async fn generations(&self) -> Result<Vec<u64>, PortError> {
        let listed = self.generations().list().await;
        listed.map_err(|failure| failure.of("list generations"))
    }

    async fn check(&self) -> Result<(), PortError> {
        let call = Call {
            query: &[
                ("filter_path", "timed_out"),
                ("allow_partial_search_results", "false"),
            ],
            body: Some(Bytes::from(
                json!({"size": 0, "terminate_after": 1}).to_string(),
            )),
            ..Call::plain(Method::Post, format!("/{}/_search", self.names.serving()))
        };
        let deadline = Instant::now() + self.config.search_timeout.min(SIGN_OF_LIFE);
        let checked = self.client.ask::<Value>(&call, deadline).await;
        checked.map(drop).map_err(|failure| failure.of("check"))
    }
}
