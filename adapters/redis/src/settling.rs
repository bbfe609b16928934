//! Settling: forgetting pending creations that are stored.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chat_core::{
    model::{Epoch, Sequence, Shard},
    ports::Settlement,
};
use futures_util::future::join_all;
use redis::Value;

use crate::{
    error::Failure,
    keys::{EntryPlace, GROUP, Keys, chat_number, chats_of, id},
    nodes::Nodes,
    reply,
    scripts::{Call, Scripts, millis},
};

/// How many creations one script settles, so that it does not block the server for long.
const STEP: usize = 500;

/// Removes pending creations and their entries.
pub(crate) struct Settler {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    idle: Duration,
}

impl Settler {
    pub(crate) fn new(
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        scripts: &Arc<Scripts>,
        idle: Duration,
    ) -> Self {
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            scripts: Arc::clone(scripts),
            idle,
        }
    }

    /// Settles each shard by itself; returns those whose own epoch is behind the one given.
    pub(crate) async fn settle(
        &self,
        settlements: &[Settlement],
        epochs: &[(Shard, Epoch)],
    ) -> Result<Vec<(Shard, Epoch)>, Failure> {
        let mut shards: BTreeMap<Shard, Vec<&Settlement>> = BTreeMap::new();
        for settlement in settlements {
            let shard = self.keys.shard_of(&settlement.sequence);
            shards.entry(shard).or_default().push(settlement);
        }
        let settling = shards.iter().flat_map(|(shard, settlements)| {
            let epoch = epochs.iter().find(|(of, _)| of == shard);
            let epoch = epoch.map_or(Epoch::NONE, |(_, epoch)| *epoch);
            let steps = settlements.chunks(STEP);
            steps.map(move |step| self.settle_in(*shard, step, epoch))
        });
        // If one server is away, the shards of the others are settled all the same.
        let settled = join_all(settling).await.into_iter();
        let mut behind = settled.collect::<Result<Vec<_>, Failure>>()?;
        behind.dedup();
        Ok(behind.into_iter().flatten().collect())
    }

    async fn settle_in(
        &self,
        shard: Shard,
        settlements: &[&Settlement],
        epoch: Epoch,
    ) -> Result<Option<(Shard, Epoch)>, Failure> {
        let mut sequences: BTreeMap<Sequence, Vec<&Settlement>> = BTreeMap::new();
        for settlement in settlements {
            let of_sequence = sequences.entry(settlement.sequence).or_default();
            of_sequence.push(settlement);
        }
        let kinds = ['e', 'b', 'q', 'k', 'd', 'f'];
        let mut call = Call::on(kinds.map(|kind| self.keys.of_shard(shard, kind)))
            .with(GROUP)
            .with(epoch.get())
            .with(millis(self.idle))
            .with(sequences.len());
        for (sequence, settlements) in &mut sequences {
            settlements.sort_unstable_by_key(|settlement| settlement.number);
            call.add_key(self.keys.of(sequence, 'p'));
            call.add_key(self.keys.of(sequence, 'c'));
            call.add_key(self.keys.of(&chats_of(sequence), 'p'));
            call.add(chat_number(sequence));
            call.add(settlements.len());
        }
        for settlement in sequences.into_values().flatten() {
            let receipt = settlement.receipt.as_ref();
            let entry = receipt
                .and_then(|receipt| EntryPlace::parse(&receipt.0, &self.keys))
                .filter(|place| place.shard == shard)
                .map_or_else(String::new, |place| id(place.position));
            call.add(settlement.number.get());
            call.add(settlement.uid.to_bytes().as_slice());
            call.add(entry);
        }
        match self.nodes.run(shard, &self.scripts.settle, &call).await? {
            Value::Nil => Ok(None),
            behind => Ok(Some((shard, Epoch::new(reply::number(behind)?)))),
        }
    }
}
