//! Requests at the same moment: connections that wait for each other before they send.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    client::{Answer, Call},
    program::Program,
};

/// Sends each list of calls on a connection of its own, all beginning at the same moment.
///
/// # Errors
///
/// Fails when a call is not answered at all.
pub async fn at_once(api: &Program, senders: Vec<Vec<Call>>) -> Result<Vec<Answer>> {
    let barrier = Arc::new(Barrier::new(senders.len()));
    let mut sending = JoinSet::new();
    for calls in senders {
        let (mut client, barrier) = (api.client(), Arc::clone(&barrier));
        sending.spawn(async move {
            // Connects. Looked at behind the barrier, where nobody waits for this sender any more.
            let connected = client.get("/health/live").await;
            barrier.wait().await;
            connected?;
            let mut answers = Vec::with_capacity(calls.len());
            for call in calls {
                answers.push(client.send(&call).await?);
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(sent) = sending.join_next().await {
        answers.extend(sent.context("a sender did not end")??);
    }
    Ok(answers)
}

/// Answers how many answers have which status.
#[must_use]
pub fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counted = BTreeMap::new();
    for answer in answers {
        *counted.entry(answer.status).or_default() += 1;
    }
    counted
}
