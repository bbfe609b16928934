//! One worker's reading of all streams.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_core::{
    model::Shard,
    ports::{Consumer, Delivery},
};
use redis::Value;

use crate::{
    RedisConfig,
    counter::millis,
    entry::{Stored, entries},
    error::Failure,
    keys::{Keys, Place, position},
    queue::GROUP,
    reply,
    server::{ReadingLine, Server},
};

/// The longest that the server is asked to wait, so that a process can end.
const LONGEST_BLOCK: Duration = Duration::from_secs(2);

/// How long a reader that wants fewer entries than there are streams waits between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads for one consumer, on a connection of its own.
pub(crate) struct Reader {
    line: ReadingLine,
    keys: Arc<Keys>,
    /// The stream of each shard.
    streams: Vec<String>,
    consumer: String,
    takeover: Duration,
    gather: Duration,
    /// Which shard is asked first; another one each time, so that none is always last.
    turn: usize,
}

/// New entries of one shard.
struct Read {
    shard: Shard,
    entries: Vec<Stored>,
}

impl Reader {
    pub(crate) fn try_new(
        server: &Server,
        keys: &Arc<Keys>,
        config: &RedisConfig,
        consumer: &Consumer,
    ) -> Result<Self, Failure> {
        Ok(Self {
            line: server.reading_line(LONGEST_BLOCK)?,
            streams: keys
                .shards()
                .map(|shard| keys.of_shard(shard, 'q'))
                .collect(),
            keys: Arc::clone(keys),
            consumer: consumer.0.clone(),
            takeover: config.takeover,
            gather: config.gather,
            turn: 0,
        })
    }

    /// Takes up to `most` entries: what the consumer holds, what nobody holds any more, what is new.
    pub(crate) async fn take(
        &mut self,
        most: usize,
        until: Instant,
    ) -> Result<Vec<Delivery>, Failure> {
        loop {
            let mut taken = self.held(most).await?;
            let left = most - taken.len();
            if left > 0 {
                let patience = until.saturating_duration_since(Instant::now());
                // What is there already is not kept waiting.
                let wait = if taken.is_empty() {
                    patience
                } else {
                    Duration::ZERO
                };
                for Read { shard, entries } in self.fresh(left, wait).await? {
                    let deliver = |stored| delivery(shard, stored, 1);
                    taken.extend(entries.into_iter().filter_map(deliver));
                }
            }
            if !taken.is_empty() || Instant::now() >= until {
                return Ok(taken);
            }
        }
    }

    /// Takes over what dead consumers hold, and hands out what this one holds.
    async fn held(&mut self, most: usize) -> Result<Vec<Delivery>, Failure> {
        let mut asking = redis::pipe();
        for stream in &self.streams {
            asking
                .cmd("XAUTOCLAIM")
                .arg(stream)
                .arg(GROUP)
                .arg(&self.consumer)
                .arg(millis(self.takeover))
                .arg("0-0")
                .arg("COUNT")
                .arg(most)
                .arg("JUSTID")
                .ignore();
            asking
                .cmd("XPENDING")
                .arg(stream)
                .arg(GROUP)
                .arg("-")
                .arg("+")
                .arg(most)
                .arg(&self.consumer);
        }
        let held = self.line.ask_all(&asking).await?;
        let mut left = most;
        let mut claiming = redis::pipe();
        let mut attempts = Vec::new();
        for ((shard, stream), held) in self.keys.shards().zip(&self.streams).zip(held) {
            let mut of_shard = BTreeMap::new();
            for entry in reply::list(held)?.into_iter().take(left) {
                let mut entry = reply::list(entry)?.into_iter();
                let id = reply::text(entry.next().unwrap_or_default())?;
                let delivered = reply::number(entry.nth(2).unwrap_or_default())?;
                of_shard.insert(id, u32::try_from(delivered).unwrap_or(u32::MAX));
            }
            if of_shard.is_empty() {
                continue;
            }
            left -= of_shard.len();
            let ids: Vec<&String> = of_shard.keys().collect();
            claiming
                .cmd("XCLAIM")
                .arg(stream)
                .arg(GROUP)
                .arg(&self.consumer)
                .arg(0)
                .arg(&ids);
            attempts.push((shard, of_shard));
        }
        let mut taken = Vec::new();
        if attempts.is_empty() {
            return Ok(taken);
        }
        let claimed = self.line.ask_all(&claiming).await?;
        for ((shard, attempts), claimed) in attempts.into_iter().zip(claimed) {
            for stored in entries(claimed)? {
                let before = attempts.get(&stored.id).copied().unwrap_or_default();
                taken.extend(delivery(shard, stored, before.saturating_add(1)));
            }
        }
        Ok(taken)
    }

    /// Reads what was handed to nobody yet, waiting for at most `wait` where there is nothing.
    async fn fresh(&mut self, most: usize, wait: Duration) -> Result<Vec<Read>, Failure> {
        if most < self.streams.len() {
            let read = self.one_by_one(most).await?;
            if read.is_empty() && !wait.is_zero() {
                tokio::time::sleep(wait.min(PAUSE)).await;
            }
            return Ok(read);
        }
        // A server's count is for each stream; together they must not give too many.
        let each = most / self.streams.len();
        let mut reads = self.read(&self.asking(each, Some(wait))).await?;
        let is_full = |read: &Read| read.entries.len() >= each;
        let mut left = most - count(&reads);
        let gather = self.gather.min(wait);
        if !reads.is_empty() && !reads.iter().any(is_full) && !gather.is_zero() {
            tokio::time::sleep(gather).await;
            let each_more = left / self.streams.len();
            if each_more > 0 {
                reads.extend(self.read(&self.asking(each_more, None)).await?);
                left = most - count(&reads);
            }
        }
        // Streams that gave all that they were asked for have more.
        let full: Vec<Shard> = reads
            .iter()
            .filter(|it| is_full(it))
            .map(|it| it.shard)
            .collect();
        for shard in full {
            if left == 0 {
                break;
            }
            let read = self.read(&self.asking_one(shard, left)).await?;
            left -= count(&read);
            reads.extend(read);
        }
        Ok(reads)
    }

    /// Reads one stream after the other until there are enough.
    async fn one_by_one(&mut self, most: usize) -> Result<Vec<Read>, Failure> {
        let shards = self.keys.count();
        self.turn = (self.turn + 1) % usize::from(shards);
        let first = u16::try_from(self.turn).unwrap_or_default();
        let mut left = most;
        let mut reads = Vec::new();
        for at in 0..shards {
            if left == 0 {
                break;
            }
            let shard = Shard::new((first + at) % shards);
            let read = self.read(&self.asking_one(shard, left)).await?;
            left -= count(&read);
            reads.extend(read);
        }
        Ok(reads)
    }

    fn asking(&self, each: usize, wait: Option<Duration>) -> redis::Cmd {
        let mut asking = redis::cmd("XREADGROUP");
        asking.arg("GROUP").arg(GROUP).arg(&self.consumer);
        asking.arg("COUNT").arg(each);
        // A block of zero would be one without end.
        if let Some(block) = wait
            .map(|wait| millis(wait.min(LONGEST_BLOCK)))
            .filter(|it| *it > 0)
        {
            asking.arg("BLOCK").arg(block);
        }
        asking.arg("STREAMS").arg(&self.streams);
        for _ in &self.streams {
            asking.arg(">");
        }
        asking
    }

    fn asking_one(&self, shard: Shard, most: usize) -> redis::Cmd {
        let mut asking = redis::cmd("XREADGROUP");
        asking.arg("GROUP").arg(GROUP).arg(&self.consumer);
        asking.arg("COUNT").arg(most);
        asking
            .arg("STREAMS")
            .arg(self.keys.of_shard(shard, 'q'))
            .arg(">");
        asking
    }

    async fn read(&mut self, asking: &redis::Cmd) -> Result<Vec<Read>, Failure> {
        let answer = self.line.ask(asking).await?;
        let streams: Vec<(String, Value)> = match answer {
            Value::Map(_) => reply::pairs(answer)?,
            other => {
                let pair = |stream| {
                    let mut pair = reply::list(stream)?.into_iter();
                    let name = reply::text(pair.next().unwrap_or_default())?;
                    Ok((name, pair.next().unwrap_or_default()))
                };
                reply::list(other)?
                    .into_iter()
                    .map(pair)
                    .collect::<Result<_, Failure>>()?
            }
        };
        let mut reads = Vec::new();
        for (name, value) in streams {
            let at = self.streams.iter().position(|stream| *stream == name);
            let shard = at.and_then(|at| u16::try_from(at).ok()).map(Shard::new);
            reads.push(Read {
                shard: shard.ok_or(Failure::Strange("a stream that was asked for"))?,
                entries: entries(value)?,
            });
        }
        Ok(reads)
    }
}

fn count(reads: &[Read]) -> usize {
    reads.iter().map(|read| read.entries.len()).sum()
}

/// An entry as it is handed out; `None` where nothing but its id is left.
fn delivery(shard: Shard, stored: Stored, attempt: u32) -> Option<Delivery> {
    let fields = stored.fields?;
    let place = Place {
        shard,
        position: position(&stored.id)?,
    };
    Some(Delivery {
        receipt: place.receipt(),
        attempt,
        forced: fields.forced,
        position: Some((shard, place.position)),
        entry: fields.entry(),
    })
}
