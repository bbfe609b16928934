//! Generations: each is an index with an alias for writing; searches read one alias common to all.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use elasticsearch::http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    ElasticsearchConfig,
    client::{Call, Client},
    error::Failure,
    mapping::{self, Found},
    names::Names,
    writing::refresh,
};

/// Limits answers about indices to what is read of them.
const OF_INDICES: &[(&str, &str)] = &[("filter_path", "*.aliases,*.mappings")];

/// The generations of one system, and requests about them until a deadline.
pub(crate) struct Generations<'a> {
    pub(crate) client: &'a Client,
    pub(crate) names: &'a Names,
    pub(crate) deadline: Instant,
}

type Indices = BTreeMap<String, Found>;

impl Generations<'_> {
    /// Reads what the server knows of indices, by name, alias or pattern.
    async fn look(&self, name: &str) -> Result<Indices, Failure> {
        let call = Call {
            query: OF_INDICES,
            ..Call::plain(Method::Get, format!("/{name}"))
        };
        self.client.ask(&call, self.deadline).await
    }

    /// Makes sure that a generation is there, and is as this version makes them.
    pub(crate) async fn verify(&self, number: u64) -> Result<(), Failure> {
        let (index, alias) = (self.names.index(number), self.names.alias(number));
        let found = self.look(&alias).await?;
        match found.get(&index) {
            Some(made) if made.is_as_made() && found.len() == 1 => Ok(()),
            Some(_) => Err(Failure::Foreign(index)),
            None => Err(Failure::Foreign(alias)),
        }
    }

    /// Makes an empty generation; harmless if it is there.
    pub(crate) async fn create(
        &self,
        number: u64,
        config: &ElasticsearchConfig,
    ) -> Result<(), Failure> {
        let (index, alias) = (self.names.index(number), self.names.alias(number));
        let made_with = mapping::index(config, &alias).to_string();
        let call = Call {
            body: Some(Bytes::from(made_with)),
            ..Call::plain(Method::Put, format!("/{index}"))
        };
        match self.client.ask::<Value>(&call, self.deadline).await {
            Ok(_) => {}
            Err(failure) if failure.is("resource_already_exists_exception") => {}
            Err(failure) if failure.is("invalid_alias_name_exception") => {
                return Err(Failure::Foreign(alias));
            }
            Err(failure) => return Err(failure),
        }
        // An index that existed before, or somebody else's index template, may have made it different.
        match self.verify(number).await {
            Err(Failure::Missing) => Err(Failure::Foreign(index)),
            outcome => outcome,
        }
    }

    /// Switches searches to this generation alone, which is refreshed every `every` from then on.
    pub(crate) async fn serve(&self, number: u64, every: Duration) -> Result<(), Failure> {
        let (index, serving) = (self.names.index(number), self.names.serving());
        let served = match self.look(&serving).await {
            Err(Failure::Missing) => Indices::default(),
            outcome => outcome?,
        };
        if served.len() == 1 && served.contains_key(&index) {
            return Ok(());
        }
        self.verify(number).await?;
        self.begin_refreshing(number, every).await?;
        let mut actions: Vec<Value> = served
            .keys()
            .map(|index| json!({"remove": {"index": index, "alias": serving}}))
            .collect();
        actions.push(json!({"add": {"index": index, "alias": serving}}));
        let call = Call {
            body: Some(Bytes::from(json!({"actions": actions}).to_string())),
            ..Call::plain(Method::Post, "/_aliases".to_owned())
        };
        match self.client.ask::<Value>(&call, self.deadline).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("invalid_alias_name_exception") => {
                Err(Failure::Foreign(serving))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Refreshes a generation now, and at the interval for serving from now on.
    async fn begin_refreshing(&self, number: u64, every: Duration) -> Result<(), Failure> {
        let index = self.names.index(number);
        let settings = json!({"index": {"refresh_interval": mapping::interval(every)}});
        let call = Call {
            body: Some(Bytes::from(settings.to_string())),
            ..Call::plain(Method::Put, format!("/{index}/_settings"))
        };
        self.client.ask::<Value>(&call, self.deadline).await?;
        refresh(self.client, &index, self.deadline).await
    }

    /// Removes a generation that was made here; harmless if it is gone.
    pub(crate) async fn remove(&self, number: u64) -> Result<(), Failure> {
        let index = self.names.index(number);
        let found = match self.look(&index).await {
            Err(Failure::Missing) => return Ok(()),
            outcome => outcome?,
        };
        if !found.get(&index).is_some_and(Found::is_made_here) {
            return Err(Failure::Foreign(index));
        }
        let call = Call::plain(Method::Delete, format!("/{index}"));
        match self.client.ask::<Value>(&call, self.deadline).await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Removes all generations that any version of this system made, except `kept`.
    pub(crate) async fn remove_others(&self, kept: u64) -> Result<(), Failure> {
        for (index, made) in self.look(&self.names.aliases()).await? {
            match self.number(&index, &made) {
                Some(number) if number != kept && made.is_made_here() => {
                    self.remove(number).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lists the generations that this version can use; the others are as good as lost.
    pub(crate) async fn list(&self) -> Result<Vec<u64>, Failure> {
        let found = self.look(&self.names.aliases()).await?;
        let mut numbers = Vec::new();
        for (index, made) in found {
            match self.number(&index, &made) {
                Some(number) if made.is_as_made() => numbers.push(number),
                _ => tracing::debug!(
                    index,
                    "an index was not made by this version and is ignored"
                ),
            }
        }
        if numbers.is_empty() {
            // Without privileges a pattern matches nothing instead of being refused; a plain name is
            // refused.
            match self.look(&self.names.serving()).await {
                Ok(_) | Err(Failure::Missing) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(numbers)
    }

    /// Returns the number of the generation that an index holds, by its alias.
    fn number(&self, index: &str, made: &Found) -> Option<u64> {
        let aliases = made.aliases.keys();
        aliases
            .filter_map(|alias| self.names.generation(alias))
            .find(|number| self.names.index(*number) == index)
    }
}
