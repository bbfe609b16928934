//! How one consumer takes work: the broker pushes to it while it asks, and at no other time.
//!
//! So no entry waits at a consumer that is busy with something else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_core::ports::{Consumer, Delivery, Receipt};
use futures_util::{
    StreamExt as _,
    future::try_join_all,
    stream::{self, select_all},
};
use lapin::{
    Channel,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use crate::{
    entry,
    error::Failure,
    link::{Place, Session},
    seen::Seen,
};

/// How long the driver may take to end a consumer's stream once the broker has cancelled it.
const END: Duration = Duration::from_secs(1);

/// One queue as one consumer sees it, on a channel of its own.
pub(crate) struct Lane {
    id: u64,
    session: Arc<Session>,
    channel: Channel,
    queue: ShortString,
    /// How often an entry was delivered before it came to this queue.
    before: u32,
    seen: Arc<Seen>,
    /// The deliveries that are not ended, by tag, and so in the order in which they came.
    held: Mutex<BTreeMap<u64, Delivery>>,
    /// Held while some of them are being ended.
    ending: tokio::sync::Mutex<()>,
}

/// The lanes of a process by their numbers, which receipts name.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) seen: Arc<Seen>,
    last: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Lane>>>,
}

/// How deliveries end.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// Their work is done.
    Acknowledge,
    /// They are to be delivered again.
    GiveBack,
}

/// Takes work for one consumer, from both queues.
///
/// Dropping it closes its channels, and the broker redelivers what was not ended.
pub(crate) struct Receiver {
    lanes: Arc<Lanes>,
    own: Vec<Arc<Lane>>,
    /// How many entries the broker was told to deliver at once.
    most: usize,
}

impl Receiver {
    /// Prepares to take up to `most` entries at once.
    pub(crate) async fn open(
        session: &Arc<Session>,
        place: &Place,
        lanes: &Arc<Lanes>,
        most: usize,
    ) -> Result<Self, Failure> {
        let mut receiver = Self {
            lanes: Arc::clone(lanes),
            own: Vec::new(),
            most,
        };
        let prefetch = u16::try_from(most).unwrap_or(u16::MAX).max(1);
        // Entries that were delivered too often are rare, and tried alone.
        for (queue, before, prefetch) in [
            (&place.work, 0, prefetch),
            (&place.returned, place.delivery_limit, 1),
        ] {
            let channel = session.new_channel().await?;
            let limiting = channel.basic_qos(prefetch, BasicQosOptions::default());
            session.ask(limiting).await?;
            let lane = lanes.open(session, channel, queue.clone(), before);
            receiver.own.push(lane);
        }
        Ok(receiver)
    }

    /// Says whether it can take so many at once, on a connection that is still there.
    pub(crate) fn serves(&self, most: usize) -> bool {
        most <= self.most && !self.own.iter().any(|lane| lane.session.is_lost())
    }

    /// Takes what is held already; else what comes by `until`, or within `gather` of the first entry.
    ///
    /// If this fails or is dropped, so must the receiver be: what came meanwhile is lost to it.
    pub(crate) async fn take(
        &self,
        consumer: &Consumer,
        most: usize,
        mut until: Instant,
        gather: Duration,
    ) -> Result<Vec<Delivery>, Failure> {
        let mut held = self.held(most);
        if !held.is_empty() {
            return Ok(held);
        }
        let asking = self.own.iter().map(|lane| lane.ask_for_work(consumer));
        let asked = try_join_all(asking).await?;
        let mut arriving = select_all(self.own.iter().zip(asked).map(|(lane, asked)| {
            let ending = stream::once(ready(None));
            let messages = asked.map(Some).chain(ending);
            messages.map(move |message| (lane, message))
        }));
        let mut came = 0;
        while came < most {
            let Ok(arrived) = timeout_at(until, arriving.next()).await else {
                break;
            };
            let (lane, message) = arrived.ok_or(Failure::Away)?;
            let Some(message) = message.transpose()? else {
                // The queue was removed; the next connection declares it again.
                lane.session.give_up();
                return Err(Failure::Unroutable);
            };
            if came == 0 {
                until = until.min(Instant::now() + gather);
            }
            lane.hold(message);
            came += 1;
        }
        try_join_all(self.own.iter().map(|lane| lane.ask_for_no_more(consumer))).await?;
        // Entries that were under way by then, up to the end of each lane.
        let until = Instant::now() + END;
        loop {
            let arrived = timeout_at(until, arriving.next()).await;
            let Some((lane, message)) = arrived.map_err(|_| Failure::Late)? else {
                break;
            };
            if let Some(message) = message.transpose()? {
                lane.hold(message);
            }
        }
        held = self.held(most);
        Ok(held)
    }

    /// Gives up all that it holds, and waits until the broker knows.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        let own = std::mem::take(&mut self.own);
        for lane in own {
            self.lanes.forget(lane.id);
            lane.close().await?;
        }
        Ok(())
    }

    /// The first of the deliveries that are not ended.
    fn held(&self, most: usize) -> Vec<Delivery> {
        let held = self.own.iter().flat_map(|lane| lane.held());
        held.take(most).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for lane in self.own.drain(..) {
            self.lanes.forget(lane.id);
            // The driver closes a channel that was dropped, but not while it waits for an answer on it.
            // Without a runtime the connection ends as well.
            if !lane.session.is_lost()
                && let Ok(runtime) = Handle::try_current()
            {
                runtime.spawn(async move { lane.close().await });
            }
        }
    }
}

impl Lanes {
    fn open(
        &self,
        session: &Arc<Session>,
        channel: Channel,
        queue: ShortString,
        before: u32,
    ) -> Arc<Lane> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let lane = Arc::new(Lane {
            id,
            session: Arc::clone(session),
            channel,
            queue,
            before,
            seen: Arc::clone(&self.seen),
            held: Mutex::default(),
            ending: tokio::sync::Mutex::default(),
        });
        let mut lanes = self.open.lock().expect("no holder of the lock panics");
        lanes.insert(id, Arc::clone(&lane));
        lane
    }

    fn forget(&self, id: u64) {
        let mut lanes = self.open.lock().expect("no holder of the lock panics");
        lanes.remove(&id);
    }

    /// Ends deliveries.
    ///
    /// Receipts whose connection is lost, or that are not from here, are skipped: the broker redelivers the
    /// former, and knows nothing of the latter.
    pub(crate) async fn end(&self, receipts: &[Receipt], how: End) -> Result<(), Failure> {
        let mut by_lane = BTreeMap::<u64, BTreeSet<u64>>::new();
        for (lane, tag) in receipts.iter().filter_map(parse) {
            by_lane.entry(lane).or_default().insert(tag);
        }
        let ending: Vec<_> = {
            let open = self.open.lock().expect("no holder of the lock panics");
            let known = by_lane
                .into_iter()
                .filter_map(|(id, tags)| Some((Arc::clone(open.get(&id)?), tags)));
            known.collect()
        };
        let ending = ending.iter().map(|(lane, tags)| lane.end(tags, how));
        try_join_all(ending).await.map(drop)
    }
}

impl Lane {
    /// Gives back all that is not ended; if that fails, the connection ends, which does the same.
    async fn close(&self) -> Result<(), Failure> {
        let closing = self.channel.close(200, "OK".into());
        self.session.ask(closing).await
    }

    async fn ask_for_work(&self, consumer: &Consumer) -> Result<lapin::Consumer, Failure> {
        let (queue, name) = (self.queue.clone(), tag(consumer));
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let asking = self.channel.basic_consume(queue, name, options, arguments);
        self.session.ask(asking).await
    }

    async fn ask_for_no_more(&self, consumer: &Consumer) -> Result<(), Failure> {
        let options = BasicCancelOptions::default();
        let cancelling = self.channel.basic_cancel(tag(consumer), options);
        self.session.ask(cancelling).await
    }

    fn held(&self) -> Vec<Delivery> {
        let held = self.held.lock().expect("no holder of the lock panics");
        held.values().cloned().collect()
    }

    fn hold(&self, message: Message) {
        let Message {
            delivery_tag: tag,
            redelivered,
            properties,
            data,
            ..
        } = message;
        self.seen.note(data.len());
        let counted = entry::earlier_deliveries(&properties);
        let earlier = counted.unwrap_or(redelivered.into()).max(self.before);
        let delivery = Delivery {
            receipt: Receipt(format!("{}-{tag}", self.id)),
            attempt: earlier.saturating_add(1),
            forced: entry::is_forced(&properties),
            position: None,
            entry: entry::entry(&properties, data),
        };
        let mut held = self.held.lock().expect("no holder of the lock panics");
        held.insert(tag, delivery);
    }

    /// Ends those of these deliveries that are held, the oldest ones with a single frame.
    ///
    /// Callers take turns, and a delivery counts as held until the broker was told: else another caller
    /// could end it in another way, along with its own oldest ones.
    async fn end(&self, tags: &BTreeSet<u64>, how: End) -> Result<(), Failure> {
        let _ending = self.ending.lock().await;
        let (ended, together, apart) = {
            let held = self.held.lock().expect("no holder of the lock panics");
            let ended: Vec<u64> = tags
                .iter()
                .filter(|tag| held.contains_key(tag))
                .copied()
                .collect();
            // Deliveries that come later have higher tags, so they are not ended along with these.
            let mut kept = held.keys().filter(|tag| !tags.contains(tag));
            let first_kept = kept.next().copied().unwrap_or(u64::MAX);
            let oldest = ended.partition_point(|tag| *tag < first_kept);
            let apart = ended[oldest..].to_vec();
            let together = ended[..oldest].last().copied();
            (ended, together, apart)
        };
        let together = together.map(|tag| self.say(tag, true, how));
        let apart = apart.into_iter().map(|tag| self.say(tag, false, how));
        let saying = try_join_all(together.into_iter().chain(apart));
        let said = self.session.ask(saying).await;
        let mut held = self.held.lock().expect("no holder of the lock panics");
        for tag in ended {
            held.remove(&tag);
        }
        said.map(drop)
    }

    async fn say(&self, tag: u64, multiple: bool, how: End) -> lapin::Result<()> {
        match how {
            End::Acknowledge => {
                let options = BasicAckOptions { multiple };
                self.channel.basic_ack(tag, options).await
            }
            End::GiveBack => {
                let requeue = true;
                let options = BasicNackOptions { multiple, requeue };
                self.channel.basic_nack(tag, options).await
            }
        }
    }
}

/// The consumer tag in the broker's list; it need only be unique on its channel.
fn tag(consumer: &Consumer) -> ShortString {
    // A tag has at most 255 bytes, and a character up to four.
    consumer.0.chars().take(60).collect::<String>().into()
}

/// The lane and the tag of a receipt; `None` if it is not one of these queues.
fn parse(receipt: &Receipt) -> Option<(u64, u64)> {
    let (lane, tag) = receipt.0.split_once('-')?;
    Some((lane.parse().ok()?, tag.parse().ok()?))
}
