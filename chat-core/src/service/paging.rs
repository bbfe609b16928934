//! Pages of a sequence: what is stored and what is still pending, as one list without gaps.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::ServiceError;
use crate::{
    PortError,
    model::{Creation, Limit, Number, NumberRange, Order, Page, Sequence},
    ports::{Counter, Parent, Slice},
};

/// How many bytes of text a page has at most, unless it is a single item, so that a page of the
/// largest texts cannot fill the memory: 1 MiB.
const PAGE_BYTES: usize = 1 << 20;

/// How many items are read at first, before it is known how large they are: 2 MiB of the largest texts.
const FIRST: usize = 64;

/// How many items are read at once at most: 8 MiB of the largest texts.
const MOST: usize = 256;

/// Estimates how many items to read next for a page that has `count` items of `bytes` in all: as few as are
/// likely to fill it, since many callers read at once.
fn step(count: usize, bytes: usize, wanted: usize) -> usize {
    let likely = match count {
        0 => FIRST,
        _ => PAGE_BYTES.saturating_sub(bytes) * count / bytes.max(1) + 1,
    };
    likely.min(MOST).min(wanted.saturating_sub(count))
}

/// Says whether this many bytes of text are more than a page holds.
fn fills(bytes: usize) -> bool {
    bytes > PAGE_BYTES
}

/// Reads one item more than a page may have, unless their texts fill it before.
///
/// `read` answers as many items after a place as it is asked for, and fewer only at the end.
pub(super) async fn gather<Item, Place, Reading>(
    mut after: Option<Place>,
    limit: Limit,
    bytes: impl Fn(&Item) -> usize,
    place: impl Fn(&Item) -> Place,
    read: impl Fn(Option<Place>, usize) -> Reading,
) -> Result<Vec<Item>, PortError>
where
    Reading: Future<Output = Result<Vec<Item>, PortError>>,
{
    let wanted = limit.get() + 1;
    let (mut items, mut sum) = (Vec::new(), 0);
    while items.len() < wanted && !fills(sum) {
        let step = step(items.len(), sum, wanted);
        let some = read(after, step).await?;
        let is_last = some.len() < step;
        sum += some.iter().map(&bytes).sum::<usize>();
        items.extend(some);
        after = items.last().map(&place);
        if is_last {
            break;
        }
    }
    Ok(items)
}

/// The stored side of a list.
#[async_trait]
pub(super) trait Stored: Send + Sync {
    /// What the list holds.
    type Item: Clone + Send;

    /// The sequence that numbers the list.
    fn sequence(&self) -> Sequence;

    /// An item's number.
    fn number(item: &Self::Item) -> Number;

    /// How many bytes of text an item has.
    fn bytes(item: &Self::Item) -> usize;

    /// A pending creation as an item.
    fn pending(creation: &Creation) -> Option<Self::Item>;

    /// Reads a part of the list, and what is stored of the numbers in `also`.
    async fn slice(
        &self,
        range: &NumberRange,
        limit: usize,
        also: &[Number],
    ) -> Result<Slice<Self::Item>, PortError>;

    /// The highest number of a live row.
    async fn last_stored(&self) -> Result<u64, PortError> {
        let last = NumberRange::new(None, None, Order::Descending);
        let slice = self.slice(&last, 1, &[]).await?;
        Ok(slice
            .rows
            .first()
            .map_or(0, |item| Self::number(item).get()))
    }

    /// Says whether the owner of the list is itself pending.
    async fn owner_is_pending(&self, counter: &dyn Counter) -> Result<bool, PortError>;
}

/// Reads a page.
///
/// Each round reads first the pending creations of the range and then its rows, and the rows win:
/// what is settled in between is a row by then.
/// Rows above the last number that had been issued when the pending creations were first read wait for
/// the next page, since a lower number could still be on its way.
/// A source that gave as many as it was asked for may have more, so it ends the round at its last number.
/// A page of large texts is shorter than its limit, and says that there is more.
pub(super) async fn page<S: Stored>(
    counter: &Arc<dyn Counter>,
    stored: &S,
    asked: NumberRange,
    limit: Limit,
) -> Result<Page<S::Item, NumberRange>, ServiceError> {
    let mut range = asked;
    let wanted = limit.get() + 1;
    let mut bound = None;
    let (mut items, mut bytes) = (Vec::new(), 0);
    loop {
        let step = step(items.len(), bytes, wanted);
        let round = round(&**counter, stored, range, step, &mut bound).await?;
        bytes += round.items.iter().map(S::bytes).sum::<usize>();
        items.extend(round.items);
        match round.end {
            Some(end) if items.len() < wanted && !fills(bytes) => range = range.beyond(end),
            _ => break,
        }
        if range.is_empty() {
            break;
        }
    }
    Ok(cut(items, limit, S::bytes, |last| {
        asked.beyond(S::number(last))
    }))
}

/// Cuts a page of at least one item off items of which one more than `limit` was asked for.
pub(super) fn cut<Item, Next>(
    items: Vec<Item>,
    limit: Limit,
    bytes: impl Fn(&Item) -> usize,
    next: impl FnOnce(&Item) -> Next,
) -> Page<Item, Next> {
    let mut sum = 0;
    let fits = |item: &&Item| {
        sum += bytes(item);
        sum <= PAGE_BYTES
    };
    let fitting = items.iter().take_while(fits).count().max(1);
    Page::cut(items, limit.at_most(fitting), next)
}

/// What one round of reading gave.
struct Round<T> {
    items: Vec<T>,
    /// Up to where the range was read; `None` where all of it was.
    end: Option<Number>,
}

async fn round<S: Stored>(
    counter: &dyn Counter,
    stored: &S,
    range: NumberRange,
    wanted: usize,
    bound: &mut Option<u64>,
) -> Result<Round<S::Item>, ServiceError> {
    let sequence = stored.sequence();
    let mut pending = counter.pending_page(&sequence, &range, wanted).await?;
    let highest = match (*bound, pending.issued) {
        (Some(bound), _) => bound,
        (None, Some(issued)) => issued,
        (None, None) => {
            // The counter has forgotten the sequence: all that it issued is either pending or stored by
            // now, which gives the bound, and pending has to be read again after the bound is known.
            let last = stored.last_stored().await?.max(pending.highest_pending);
            pending = counter.pending_page(&sequence, &range, wanted).await?;
            last
        }
    };
    *bound = Some(highest);
    let visible = range.up_to(highest);
    let numbers: Vec<Number> = pending
        .creations
        .iter()
        .map(|creation| creation.number)
        .collect();
    let slice = live_slice(counter, stored, &visible, wanted, &numbers).await?;

    let pending_end = numbers.last().filter(|_| pending.is_full(wanted)).copied();
    let stored_end = slice
        .rows
        .last()
        .filter(|_| slice.rows.len() >= wanted)
        .map(|row| S::number(row));
    let end = nearest(range.order(), pending_end, stored_end).filter(|_| !visible.is_empty());
    let read = end.map_or(visible, |end| visible.through(end));

    let mut merged: BTreeMap<Number, S::Item> = pending
        .creations
        .iter()
        .filter(|creation| !slice.known.contains_key(&creation.number))
        .filter_map(|creation| Some((creation.number, S::pending(creation)?)))
        .collect();
    merged.extend(slice.rows.into_iter().map(|row| (S::number(&row), row)));
    merged.retain(|number, _| read.contains(*number));
    let items = match range.order() {
        Order::Ascending => merged.into_values().collect(),
        Order::Descending => merged.into_values().rev().collect(),
    };
    Ok(Round { items, end })
}

/// Reads the rows, and makes sure that their owner lives.
async fn live_slice<S: Stored>(
    counter: &dyn Counter,
    stored: &S,
    range: &NumberRange,
    wanted: usize,
    numbers: &[Number],
) -> Result<Slice<S::Item>, ServiceError> {
    let slice = stored.slice(range, wanted, numbers).await?;
    match slice.parent {
        Parent::Live => Ok(slice),
        Parent::Gone => Err(ServiceError::NotFound),
        Parent::Absent if stored.owner_is_pending(counter).await? => Ok(slice),
        Parent::Absent => {
            // It may have been stored between the two reads.
            let again = stored.slice(range, wanted, numbers).await?;
            if again.parent == Parent::Live {
                Ok(again)
            } else {
                Err(ServiceError::NotFound)
            }
        }
    }
}

fn nearest(order: Order, one: Option<Number>, other: Option<Number>) -> Option<Number> {
    match (one, other) {
        (Some(one), Some(other)) => Some(match order {
            Order::Ascending => one.min(other),
            Order::Descending => one.max(other),
        }),
        (one, other) => one.or(other),
    }
}
