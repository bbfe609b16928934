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
use futures_util::future::join_all;
use redis::Value;

use crate::{
    RedisConfig,
    connection::ReadingLine,
    entry::{Stored, entries},
    error::Failure,
    keys::{EntryPlace, GROUP, Keys, position},
    nodes::Nodes,
    reply,
    scripts::millis,
    server::Server,
};

/// The longest that one read blocks in the server, so that a process can end.
const LONGEST_BLOCK: Duration = Duration::from_secs(2);

/// The pause between two polls of a reader that wants fewer entries than there are streams.
const PAUSE: Duration = Duration::from_millis(20);

/// The first and the longest pause between two polls of a cluster that found nothing.
///
/// Its nodes can't block on streams of several slots.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(50)];

/// How long a failed node is skipped, so that the others are read without waiting for it.
const REST: Duration = Duration::from_secs(2);

/// Reads for one consumer, on connections of its own.
pub(crate) struct Reader {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
    /// The servers to read from.
    parts: Vec<Part>,
    consumer: String,
    takeover: Duration,
    gather: Duration,
    /// Which shard is asked first; another one each time, so that none is always last.
    turn: usize,
    /// Why a node was skipped in the current call of `take`.
    passed_over: Option<Failure>,
}

/// The streams that one server has.
struct Part {
    server: Arc<Server>,
    line: ReadingLine,
    shards: Vec<Shard>,
    /// The stream of each of them.
    streams: Vec<String>,
    /// When it may be asked again.
    rests_until: Option<Instant>,
}

/// New entries of one shard.
struct Read {
    shard: Shard,
    entries: Vec<Stored>,
}

impl Reader {
    pub(crate) fn new(
        nodes: &Arc<Nodes>,
        keys: &Arc<Keys>,
        config: &RedisConfig,
        consumer: &Consumer,
    ) -> Self {
        Self {
            nodes: Arc::clone(nodes),
            keys: Arc::clone(keys),
            parts: Vec::new(),
            consumer: consumer.0.clone(),
            takeover: config.takeover,
            gather: config.gather,
            turn: 0,
            passed_over: None,
        }
    }

    /// Adapts the parts to the servers that have the shards now.
    fn arrange(&mut self) -> Result<(), Failure> {
        let servers = self.nodes.map().servers();
        let is_same = |part: &Part, (server, shards): &(Arc<Server>, Vec<Shard>)| {
            Arc::ptr_eq(&part.server, server) && part.shards == *shards
        };
        if self.parts.len() == servers.len()
            && self
                .parts
                .iter()
                .zip(&servers)
                .all(|(part, it)| is_same(part, it))
        {
            return Ok(());
        }
        let longest = if self.nodes.is_cluster() {
            Duration::ZERO
        } else {
            LONGEST_BLOCK
        };
        let mut before = std::mem::take(&mut self.parts);
        for (server, shards) in servers {
            let known = before
                .iter()
                .position(|part| Arc::ptr_eq(&part.server, &server));
            let (line, rests_until) = match known.map(|at| before.swap_remove(at)) {
                Some(part) => (part.line, part.rests_until),
                None => (server.reading_line(longest)?, None),
            };
            let stream = |shard: &Shard| self.keys.of_shard(*shard, 'q');
            self.parts.push(Part {
                streams: shards.iter().map(stream).collect(),
                server,
                line,
                shards,
                rests_until,
            });
        }
        Ok(())
    }

    /// Skips a failed node of a cluster, so that the others are read; any other failure is returned.
    async fn pass_over(&mut self, at: usize, failure: Failure) -> Result<(), Failure> {
        if !self.nodes.is_cluster() || failure.is("NOGROUP") || failure.is("MOVED") {
            return Err(failure);
        }
        self.nodes.has_moved(&failure).await;
        if let Some(part) = self.parts.get_mut(at) {
            part.rests_until = Some(Instant::now() + REST);
        }
        self.passed_over = Some(failure);
        Ok(())
    }

    /// Returns what was taken; if that is nothing and a node was skipped, why it was.
    fn conclude<T>(&mut self, taken: Vec<T>) -> Result<Vec<T>, Failure> {
        match self.passed_over.take() {
            Some(failure) if taken.is_empty() => Err(failure),
            _ => Ok(taken),
        }
    }

    /// Takes up to `most` entries: what the consumer holds, what nobody holds any more, what is new.
    pub(crate) async fn take(
        &mut self,
        most: usize,
        until: Instant,
    ) -> Result<Vec<Delivery>, Failure> {
        self.passed_over = None;
        loop {
            self.arrange()?;
            let mut taken = self.held(most).await?;
            let left = most - taken.len();
            if left > 0 {
                let patience = until.saturating_duration_since(Instant::now());
                // Entries that were held already must not wait for new ones.
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
                return self.conclude(taken);
            }
        }
    }

    /// Takes over what dead consumers hold, and hands out what this one holds.
    async fn held(&mut self, most: usize) -> Result<Vec<Delivery>, Failure> {
        let mut taken = Vec::new();
        let (consumer, takeover) = (self.consumer.clone(), self.takeover);
        for at in 0..self.parts.len() {
            let left = most - taken.len();
            let Some(part) = self.parts.get_mut(at).filter(|part| part.is_there()) else {
                continue;
            };
            match part.held(&consumer, takeover, left).await {
                Ok(held) => taken.extend(held),
                Err(failure) => self.pass_over(at, failure).await?,
            }
            if taken.len() >= most {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads entries that were never delivered, waiting for at most `wait` if there are none.
    async fn fresh(&mut self, most: usize, wait: Duration) -> Result<Vec<Read>, Failure> {
        let streams = usize::from(self.keys.count());
        if most < streams {
            let read = self.one_by_one(most).await?;
            if read.is_empty() && !wait.is_zero() {
                tokio::time::sleep(wait.min(PAUSE)).await;
            }
            return Ok(read);
        }
        // `COUNT` applies to each stream; together they must not give too many.
        let each = most / streams;
        let mut reads = self.read_all(each, Some(wait)).await?;
        let is_full = |read: &Read| read.entries.len() >= each;
        let mut left = most - count(&reads);
        let gather = self.gather.min(wait);
        if !reads.is_empty() && !reads.iter().any(is_full) && !gather.is_zero() {
            tokio::time::sleep(gather).await;
            let each_more = left / streams;
            if each_more > 0 {
                reads.extend(self.read_all(each_more, None).await?);
                left = most - count(&reads);
            }
        }
        // Streams that gave all that they were asked for may have more.
        let full: Vec<Shard> = reads
            .iter()
            .filter(|it| is_full(it))
            .map(|it| it.shard)
            .collect();
        for shard in full {
            if left == 0 {
                break;
            }
            let read = self.read_one(shard, left).await?;
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
            let read = self
                .read_one(Shard::new((first + at) % shards), left)
                .await?;
            left -= count(&read);
            reads.extend(read);
        }
        Ok(reads)
    }

    /// Reads one stream, without waiting.
    async fn read_one(&mut self, shard: Shard, most: usize) -> Result<Vec<Read>, Failure> {
        let asking = asking(
            &self.consumer,
            most,
            None,
            &[self.keys.of_shard(shard, 'q')],
        );
        let has = |part: &Part| part.is_there() && part.shards.contains(&shard);
        let Some(at) = self.parts.iter().position(has) else {
            return Ok(Vec::new());
        };
        let Some(part) = self.parts.get_mut(at) else {
            return Ok(Vec::new());
        };
        let answer = part.line.ask(&asking).await;
        match there(Some(answer)).and_then(|answer| part.reads(answer)) {
            Ok(reads) => Ok(reads),
            Err(failure) => self.pass_over(at, failure).await.map(|()| Vec::new()),
        }
    }

    /// Reads up to `each` entries of every stream, waiting for a while where there are none.
    async fn read_all(
        &mut self,
        each: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<Read>, Failure> {
        if !self.nodes.is_cluster()
            && let [part] = self.parts.as_mut_slice()
        {
            let asking = asking(&self.consumer, each, wait, &part.streams);
            let answer = part.line.ask(&asking).await?;
            return part.reads(answer);
        }
        // A node refuses any read of streams in several slots, blocking or not.
        let wait = wait.unwrap_or_default().min(LONGEST_BLOCK);
        let until = Instant::now() + wait;
        let [mut pause, longest] = LOOKS;
        loop {
            let reads = self.look(each).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !reads.is_empty() || left.is_zero() {
                return Ok(reads);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Asks all nodes at the same time, each for its streams one by one.
    async fn look(&mut self, each: usize) -> Result<Vec<Read>, Failure> {
        let consumer = self.consumer.as_str();
        let parts = self.parts.iter_mut().enumerate();
        let looking = parts
            .filter(|(_, part)| part.is_there())
            .map(async |(at, part)| (at, part.look(consumer, each).await));
        let mut reads = Vec::new();
        for (at, read) in join_all(looking).await {
            match read {
                Ok(read) => reads.extend(read),
                Err(failure) => self.pass_over(at, failure).await?,
            }
        }
        Ok(reads)
    }
}

impl Part {
    fn is_there(&self) -> bool {
        self.rests_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Takes over what dead consumers hold, and hands out what a consumer holds.
    async fn held(
        &mut self,
        consumer: &str,
        takeover: Duration,
        most: usize,
    ) -> Result<Vec<Delivery>, Failure> {
        let mut asking = redis::pipe();
        for stream in &self.streams {
            asking
                .cmd("XAUTOCLAIM")
                .arg(stream)
                .arg(GROUP)
                .arg(consumer)
                .arg(millis(takeover))
                .arg("0-0")
                .arg("COUNT")
                .arg(most)
                .arg("JUSTID");
            asking
                .cmd("XPENDING")
                .arg(stream)
                .arg(GROUP)
                .arg("-")
                .arg("+")
                .arg(most)
                .arg(consumer);
        }
        let mut held = self.line.ask_each(&mut asking).await?.into_iter();
        let mut left = most;
        let mut claiming = redis::pipe();
        let mut attempts = Vec::new();
        for (shard, stream) in self.shards.iter().zip(&self.streams) {
            let mut of_shard = BTreeMap::new();
            let (_, held) = (there(held.next())?, there(held.next())?);
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
                .arg(consumer)
                .arg(0)
                .arg(&ids);
            attempts.push((*shard, of_shard));
        }
        let mut taken = Vec::new();
        if attempts.is_empty() {
            return Ok(taken);
        }
        let claimed = self.line.ask_each(&mut claiming).await?;
        for ((shard, attempts), claimed) in attempts.into_iter().zip(claimed) {
            for stored in entries(there(Some(claimed))?)? {
                let before = attempts.get(&stored.id).copied().unwrap_or_default();
                taken.extend(delivery(shard, stored, before.saturating_add(1)));
            }
        }
        Ok(taken)
    }

    /// Reads up to `each` entries of every stream, each by itself.
    async fn look(&mut self, consumer: &str, each: usize) -> Result<Vec<Read>, Failure> {
        let mut commands = redis::pipe();
        for stream in &self.streams {
            commands.add_command(asking(consumer, each, None, std::slice::from_ref(stream)));
        }
        let answers = self.line.ask_each(&mut commands).await?;
        let mut reads = Vec::new();
        for answer in answers {
            reads.extend(self.reads(there(Some(answer))?)?);
        }
        Ok(reads)
    }

    /// Parses the answer to a read of these streams.
    fn reads(&self, answer: Value) -> Result<Vec<Read>, Failure> {
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
            let mut shards = self.streams.iter().zip(&self.shards);
            let shard = shards.find_map(|(stream, shard)| (*stream == name).then_some(*shard));
            reads.push(Read {
                shard: shard.ok_or(Failure::Strange("a requested stream"))?,
                entries: entries(value)?,
            });
        }
        Ok(reads)
    }
}

/// The answer about a stream; nil while its slot migrates to another node, which ends soon.
fn there(answer: Option<Result<Value, Failure>>) -> Result<Value, Failure> {
    match answer {
        Some(Err(failure)) if failure.is_of_migration() => Ok(Value::Nil),
        Some(answer) => answer,
        None => Ok(Value::Nil),
    }
}

/// The command that reads new entries, for which the server may block.
fn asking(consumer: &str, each: usize, wait: Option<Duration>, streams: &[String]) -> redis::Cmd {
    let mut asking = redis::cmd("XREADGROUP");
    asking.arg("GROUP").arg(GROUP).arg(consumer);
    asking.arg("COUNT").arg(each);
    // `BLOCK 0` would block for ever.
    if let Some(block) = wait
        .map(|wait| millis(wait.min(LONGEST_BLOCK)))
        .filter(|it| *it > 0)
    {
        asking.arg("BLOCK").arg(block);
    }
    asking.arg("STREAMS").arg(streams);
    for _ in streams {
        asking.arg(">");
    }
    asking
}

fn count(reads: &[Read]) -> usize {
    reads.iter().map(|read| read.entries.len()).sum()
}

/// An entry as it is handed out; `None` where nothing but its id is left.
fn delivery(shard: Shard, stored: Stored, attempt: u32) -> Option<Delivery> {
    let fields = stored.fields?;
    let place = EntryPlace {
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
