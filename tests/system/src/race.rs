//! Requests at the same moment: connections that wait for each other before they send.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    client::{Answer, Call, Client},
    stage::Stage,
};

/// Sends each list of calls on connections of its own, all beginning at the same moment.
///
/// With several `api`, each sender begins with the next one, so that all of them are in the race.
///
/// # Errors
///
/// Fails when a call is not answered at all.
pub async fn at_once(stage: &Stage, senders: Vec<Vec<Call>>) -> Result<Vec<Answer>> {
    let barrier = Arc::new(Barrier::new(senders.len()));
    let servers = stage.servers();
    let mut sending = JoinSet::new();
    for (sender, calls) in senders.into_iter().enumerate() {
        let mut client = Client::new(servers.clone().turned(sender));
        let (barrier, count) = (Arc::clone(&barrier), servers.count());
        sending.spawn(async move {
            // Opens the connections. A failure is looked at behind the barrier, since a sender that gave up
            // here would keep all others waiting there.
            let mut connected = Vec::with_capacity(count);
            for _ in 0..count {
                connected.push(client.get("/health/live").await);
            }
            barrier.wait().await;
            connected.into_iter().collect::<Result<Vec<Answer>>>()?;
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

/// Counts the answers by their status.
#[must_use]
pub fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counted = BTreeMap::new();
    for answer in answers {
        *counted.entry(answer.status).or_default() += 1;
    }
    counted
}
