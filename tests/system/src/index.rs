//! The search index, inspected and tampered with behind the system's back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, http::uri::Authority};
use serde_json::{Value, json};

use crate::client::{Call, Client};

/// How many documents are read at once: as many as Elasticsearch allows by default.
const PAGE: usize = 10_000;

/// The alias that searches read.
const SERVING: &str = "chat-serving";

/// The index that serves searches.
#[derive(Debug)]
pub struct Index {
    server: Authority,
}

/// An index whose aliases lead to a foreign one instead.
#[derive(Debug)]
pub struct Displaced {
    aliases: Vec<String>,
    own: String,
    other: String,
}

impl Index {
    /// Describes the index on the server at a URL, without asking it yet.
    ///
    /// # Errors
    ///
    /// Fails when the URL has no address.
    pub fn at(url: &str) -> Result<Self> {
        let server = url.trim_start_matches("http://").parse();
        let server = server.context("the address of Elasticsearch")?;
        Ok(Self { server })
    }

    async fn ask(&self, call: &Call) -> Result<Value> {
        Client::new(&self.server).send(call).await?.expect(200)
    }

    /// Returns the version of each document by its id; none where there is no index.
    ///
    /// # Errors
    ///
    /// Fails when Elasticsearch refuses it or is away.
    pub async fn versions(&self) -> Result<BTreeMap<String, u64>> {
        let mut versions = BTreeMap::new();
        let mut after = None;
        let mut client = Client::new(&self.server);
        loop {
            let mut page = json!({
                "size": PAGE,
                "version": true,
                "sort": ["application", "chat_number", "number"],
            });
            if let Some(after) = after {
                page["search_after"] = after;
            }
            let call = Call::post(&format!("/{SERVING}/_search"), &page)?;
            let answer = client.send(&call).await?;
            if answer.status == 404 {
                return Ok(BTreeMap::new());
            }
            let hits = answer.expect(200)?["hits"]["hits"].take();
            let hits = hits.as_array().context("a search has hits")?;
            for hit in hits {
                let name = hit["_id"].as_str().context("a hit has a name")?;
                let version = hit["_version"].as_u64().context("a hit has a version")?;
                versions.insert(name.to_owned(), version);
            }
            match hits.last() {
                Some(last) if hits.len() == PAGE => after = Some(last["sort"].clone()),
                _ => return Ok(versions),
            }
        }
    }

    /// Deletes the index, as somebody might who does not know what it is.
    ///
    /// # Errors
    ///
    /// Fails when Elasticsearch refuses it or is away.
    pub async fn delete(&self) -> Result<()> {
        let name = self.name().await?;
        let call = Call::try_new(Method::DELETE, &format!("/{name}"))?;
        self.ask(&call).await.map(drop)
    }

    /// Puts an index with other field types in its place, as somebody might who restores the wrong one.
    ///
    /// # Errors
    ///
    /// Fails when Elasticsearch refuses it or is away.
    pub async fn displace(&self) -> Result<Displaced> {
        const FOREIGN: &str = "foreign";
        let own = self.name().await?;
        let mappings = json!({
            "dynamic": "strict",
            "properties": {"application": {"type": "boolean"}, "number": {"type": "boolean"}},
        });
        let call = Call::json(
            Method::PUT,
            &format!("/{FOREIGN}"),
            &json!({"mappings": mappings}),
        )?;
        self.ask(&call).await?;
        let told = self.ask(&Call::get(&format!("/{own}/_alias"))?).await?;
        let aliases = told[&own]["aliases"].as_object();
        let aliases = aliases.context("an index has aliases")?;
        let displaced = Displaced {
            aliases: aliases.keys().cloned().collect(),
            own,
            other: FOREIGN.to_owned(),
        };
        self.lead(&displaced.aliases, &displaced.own, &displaced.other)
            .await?;
        Ok(displaced)
    }

    /// Puts the displaced index back, and deletes the foreign one.
    ///
    /// # Errors
    ///
    /// Fails when Elasticsearch refuses it or is away, and when a document was written into the foreign one.
    pub async fn put_back(&self, displaced: Displaced) -> Result<()> {
        let Displaced {
            aliases,
            own,
            other,
        } = displaced;
        self.lead(&aliases, &other, &own).await?;
        let counted = self.ask(&Call::get(&format!("/{other}/_count"))?).await?;
        ensure!(counted["count"] == 0, "it was written into: {counted}");
        let call = Call::try_new(Method::DELETE, &format!("/{other}"))?;
        self.ask(&call).await.map(drop)
    }

    /// Moves aliases from one index to another, atomically.
    async fn lead(&self, aliases: &[String], from: &str, to: &str) -> Result<()> {
        let moves = aliases.iter().flat_map(|alias| {
            [
                json!({"remove": {"index": from, "alias": alias}}),
                json!({"add": {"index": to, "alias": alias}}),
            ]
        });
        let actions = json!({"actions": moves.collect::<Vec<_>>()});
        self.ask(&Call::post("/_aliases", &actions)?)
            .await
            .map(drop)
    }

    /// Returns the name of the index that serves searches.
    async fn name(&self) -> Result<String> {
        let aliases = Call::get(&format!("/_alias/{SERVING}"))?;
        let aliases = self.ask(&aliases).await?;
        let aliases = aliases.as_object().context("aliases are an object")?;
        let name = aliases.keys().next().context("an alias has an index")?;
        Ok(name.clone())
    }

    /// Makes it refuse each item that is written, as when its disk is nearly full, or accept them again.
    ///
    /// # Errors
    ///
    /// Fails when Elasticsearch refuses it or is away.
    pub async fn refuse_writes(&self, refuse: bool) -> Result<()> {
        let setting = if refuse { json!(true) } else { Value::Null };
        let settings = json!({"index.blocks.write": setting});
        let path = format!("/{SERVING}/_settings");
        self.ask(&Call::json(Method::PUT, &path, &settings)?)
            .await
            .map(drop)
    }
}
