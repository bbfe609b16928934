//! Compares what search finds in the corpus with what a scan of every message finds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chat_core::text::{Terms, Token, highlight, tokens};
use chat_system::{
    client::{Client, percent_encoded},
    corpus::Corpus,
    moment::Moment,
    paging,
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::drawing::{Drawn, Form, draw};

/// How many queries of each form are asked, each within one chat.
const ASKED: usize = 120;

/// How many queries are asked across the system.
const ASKED_ACROSS: usize = 12;

/// The corpus, cut into words once, so that every message can be scanned for every query.
pub(crate) struct Judge<'a> {
    corpus: &'a Corpus,
    /// The token of the application that it was loaded into.
    application: &'a str,
    /// The number of each chat, and the words of its messages.
    chats: Vec<(u64, Vec<Vec<Token>>)>,
}

/// What is expected of one hit.
#[derive(Debug, PartialEq)]
struct Expected {
    score: u64,
    highlight: Option<String>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(corpus: &'a Corpus, application: &'a str, numbers: &[u64]) -> Self {
        let chats = corpus.chats.iter().zip(numbers).map(|(chat, number)| {
            let messages = chat.messages.iter();
            (*number, messages.map(|it| tokens(&it.body)).collect())
        });
        Self {
            corpus,
            application,
            chats: chats.collect(),
        }
    }

    /// Scans each message of a chat, and returns the expected hits by number.
    fn look(&self, chat: usize, terms: &Terms) -> BTreeMap<u64, Expected> {
        let (_, messages) = &self.chats[chat];
        let bodies = self.corpus.chats[chat].messages.iter();
        let looked = (1..).zip(messages.iter().zip(bodies));
        looked
            .filter_map(|(number, (tokens, message))| {
                let expected = Expected {
                    score: terms.rank_tokens(tokens)?.score(),
                    highlight: highlight(&message.body, tokens, terms),
                };
                Some((number, expected))
            })
            .collect()
    }

    /// Sends queries of every form, and fails where the hits are not those of a scan.
    ///
    /// Returns a line for each form: how many queries found the message that they were made from.
    pub(crate) async fn compare_in_chats(&self, client: &mut Client) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for form in Form::ALL {
            let mut random = StdRng::seed_from_u64(form as u64);
            let (mut found, mut hits) = (0, 0);
            for _ in 0..ASKED {
                let drawn = draw(self.corpus, form, &mut random);
                let terms = Terms::of(&drawn.query);
                let expected = self.look(drawn.chat, &terms);
                let items = self.ask(client, &drawn).await?;
                hits += items.len();
                found += usize::from(expected.contains_key(&drawn.number));
                let listed = items.iter().map(hit).collect::<Result<Vec<_>>>()?;
                let listed: BTreeMap<_, _> = listed.into_iter().collect();
                ensure!(listed.len() == items.len(), "{drawn:?} repeats a hit");
                ensure!(
                    listed == expected,
                    "{drawn:?} finds {listed:?}, and should {expected:?}"
                );
                expect_order(&items).with_context(|| format!("{drawn:?}"))?;
            }
            lines.push(format!(
                "{form:?}: {found} of {ASKED} found their message, {hits} hits compared"
            ));
            // Two random edits can be more than two as search counts: a swap, and an insertion between the two.
            let wanted = match form {
                Form::Typo => ASKED * 99 / 100,
                Form::Whole | Form::Prefix | Form::Part | Form::Pair => ASKED,
            };
            ensure!(
                found >= wanted,
                "{form:?}: only {found} found their message"
            );
        }
        Ok(lines)
    }

    async fn ask(&self, client: &mut Client, drawn: &Drawn) -> Result<Vec<Value>> {
        let Self { application, .. } = self;
        let (number, _) = &self.chats[drawn.chat];
        let query = percent_encoded(&drawn.query);
        let path = format!(
            "/api/v1/applications/{application}/chats/{number}/messages/search\
             ?limit=100&query={query}"
        );
        paging::items(client, &path).await
    }

    /// Sends queries across the system, and fails where hits are missing or unexpected.
    ///
    /// Returns how long the first pages took, the shortest first.
    pub(crate) async fn compare_across(&self, client: &mut Client) -> Result<Vec<Duration>> {
        let mut random = StdRng::seed_from_u64(5);
        let mut took = Vec::new();
        for form in [Form::Pair, Form::Typo] {
            for _ in 0..ASKED_ACROSS / 2 {
                let Drawn { query, .. } = draw(self.corpus, form, &mut random);
                let terms = Terms::of(&query);
                let mut expected = Vec::new();
                for (chat, (number, _)) in self.chats.iter().enumerate() {
                    let looked = self.look(chat, &terms).into_iter();
                    expected.extend(looked.map(|(message, it)| (*number, message, it.score)));
                }
                expected.sort_unstable();
                let asked = percent_encoded(&query);
                let path = format!("/api/v1/messages/search?limit=100&query={asked}");
                let began = Instant::now();
                paging::page(client, &path).await?;
                took.push(began.elapsed());
                let items = paging::items(client, &path).await?;
                expect_order(&items).with_context(|| query.clone())?;
                let mut listed = Vec::new();
                for item in &items {
                    let chat = item["chat_number"].as_u64().context("a chat's number")?;
                    let (number, Expected { score, .. }) = hit(item)?;
                    listed.push((chat, number, score));
                }
                listed.sort_unstable();
                ensure!(
                    listed == expected,
                    "`{query}` finds {} messages across the system, and should {}",
                    listed.len(),
                    expected.len()
                );
            }
        }
        took.sort_unstable();
        Ok(took)
    }
}

fn hit(item: &Value) -> Result<(u64, Expected)> {
    let number = item["number"].as_u64().context("a message has a number")?;
    let score = item["matching_score"].as_u64();
    let expected = Expected {
        score: score.context("a hit has a score")?,
        highlight: item["highlight"].as_str().map(ToOwned::to_owned),
    };
    Ok((number, expected))
}

/// Checks that the best hits come first, and among equals the newest.
fn expect_order(items: &[Value]) -> Result<()> {
    let mut before = None;
    for item in items {
        let place = (
            item["matching_score"].as_u64(),
            Moment::read(&item["created_at"])?,
            item["chat_number"].as_u64(),
            item["number"].as_u64(),
        );
        ensure!(
            before.as_ref().is_none_or(|before| *before > place),
            "{place:?} comes after {before:?}"
        );
        before = Some(place);
    }
    Ok(())
}
