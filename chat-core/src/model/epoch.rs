//! Epochs: how a counter that may have lost data is kept from repeating a number.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ApplicationId;

/// One of the fixed parts that the counter's data is cut into, each with an epoch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// The only shard of a counter that is not sharded.
    pub const ONLY: Self = Self(0);

    /// Wraps a shard's index.
    #[must_use]
    pub fn new(index: u16) -> Self {
        Self(index)
    }

    /// The shard, out of `count`, that an application lies in for good.
    ///
    /// # Panics
    ///
    /// Panics if `count` is 0.
    #[must_use]
    pub fn of(application: ApplicationId, count: u16) -> Self {
        let index = application.get() % u64::from(count);
        Self(u16::try_from(index).expect("a remainder is below its divisor"))
    }

    /// The shard's index.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of a shard's life in which its counter is known to have lost nothing.
///
/// The next epoch begins when that is no longer certain. A number carries the epoch that gave it, and a
/// sequence that was seeded in an earlier epoch is unknown in the next.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a row whose sequence was never seeded.
    pub const NONE: Self = Self(0);
    /// The epoch that a shard starts with.
    pub const FIRST: Self = Self(1);

    /// Wraps an epoch that a store gave.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The bare epoch.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of the counter's server: a new one begins whenever the server restarts, or takes its data
/// from another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation(pub String);

/// How far a shard's log of work has come; it never goes back unless something was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The leading part, for Redis Streams the milliseconds.
    pub major: u64,
    /// The trailing part, for Redis Streams the sequence within them.
    pub minor: u64,
}

/// What an observer found where the counter keeps a shard's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochMark {
    /// An epoch that was installed earlier.
    Installed(Epoch),
    /// No epoch: the observer left this nonce there, to be compared when an epoch is installed.
    Missing {
        /// A number that nobody used before.
        nonce: u64,
    },
}

/// What was observed of a counter's server that is not admitted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The shard that was asked for.
    pub shard: Shard,
    /// Where the server was reached.
    pub address: String,
    /// Which run of it answered.
    pub incarnation: Incarnation,
    /// What stands where its epoch is kept.
    pub mark: EpochMark,
    /// Whether it came back from its own disk with everything: never promoted, each write synced,
    /// and not behind what this process has seen of it.
    pub complete: bool,
    /// How far its log of work has come.
    pub position: Position,
}

/// What the repository remembers of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRecord {
    /// Where the admitted server is.
    pub address: String,
    /// Its admitted run.
    pub incarnation: Incarnation,
    /// The shard's epoch.
    pub epoch: Epoch,
    /// What stood where its epoch is kept when it was admitted, so that the same sighting is admitted
    /// into the same epoch however many processes report it.
    pub mark: EpochMark,
    /// The furthest position of work stored from it; until there is any, its position when first admitted.
    pub position: Position,
}

impl ShardRecord {
    /// Decides which epoch a sighted server may number in, and what to remember of it.
    ///
    /// The repository calls it under the lock of the shard's row and writes what comes back.
    /// Only a server that is known to have kept everything stays in its epoch.
    ///
    /// `read` is the record as it was read before the server was sighted. If the sighting would change
    /// the record's run, address or epoch, but somebody has changed these since, it is overtaken, and this
    /// returns `None`: it may be of a run that is over, and work stored since would look like a loss.
    #[must_use]
    pub fn admit(record: Option<&Self>, read: Option<&Self>, sighting: &Sighting) -> Option<Self> {
        let seen = match sighting.mark {
            EpochMark::Installed(epoch) => Some(epoch),
            EpochMark::Missing { .. } => None,
        };
        let epoch = match record {
            None => seen.map_or(Epoch::FIRST, Epoch::next),
            Some(record) => {
                let same_run = record.incarnation == sighting.incarnation;
                let same_sighting = same_run && record.mark == sighting.mark;
                let kept_all = sighting.complete
                    && record.address == sighting.address
                    && sighting.position >= record.position;
                match seen {
                    _ if same_sighting => record.epoch,
                    Some(seen) if seen == record.epoch && (same_run || kept_all) => record.epoch,
                    // Another process was admitted for this run and is about to install its epoch.
                    Some(seen)
                        if seen < record.epoch
                            && same_run
                            && sighting.position >= record.position =>
                    {
                        record.epoch
                    }
                    Some(seen) => record.epoch.max(seen).next(),
                    None => record.epoch.next(),
                }
            }
        };
        // Keep the nonce that this epoch replaced: a process that sighted it may still ask for admission,
        // and saw no loss. After a loss another nonce would stand there.
        let replaced = record.filter(|record| {
            record.incarnation == sighting.incarnation
                && seen == Some(record.epoch)
                && matches!(record.mark, EpochMark::Missing { .. })
        });
        let admitted = Self {
            address: sighting.address.clone(),
            incarnation: sighting.incarnation.clone(),
            epoch,
            mark: replaced.map_or(sighting.mark, |record| record.mark),
            position: record.map_or(sighting.position, |record| record.position),
        };
        let is_overtaken = record.is_some_and(|record| {
            !record.admits_as(&admitted) && !read.is_some_and(|read| record.admits_as(read))
        });
        (!is_overtaken).then_some(admitted)
    }

    /// Whether both admit the same run at the same address into the same epoch.
    fn admits_as(&self, other: &Self) -> bool {
        self.address == other.address
            && self.incarnation == other.incarnation
            && self.epoch == other.epoch
    }
}

/// The repository's permission for a sighted server to number in an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What was observed; the counter installs the epoch only where this still holds.
    pub sighting: Sighting,
    /// The epoch to install.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(run: &str, mark: EpochMark) -> Sighting {
        Sighting {
            shard: Shard::ONLY,
            address: "here".to_owned(),
            incarnation: Incarnation(run.to_owned()),
            mark,
            complete: false,
            position: Position {
                major: 10,
                minor: 0,
            },
        }
    }

    fn record() -> ShardRecord {
        ShardRecord {
            address: "here".to_owned(),
            incarnation: Incarnation("one".to_owned()),
            epoch: Epoch::new(4),
            mark: EpochMark::Missing { nonce: 1 },
            position: Position {
                major: 10,
                minor: 0,
            },
        }
    }

    fn epoch_for(sighting: &Sighting) -> u64 {
        admit(&record(), sighting).epoch.get()
    }

    /// Admits a sighting over a record that has not changed since it was read.
    fn admit(record: &ShardRecord, sighting: &Sighting) -> ShardRecord {
        ShardRecord::admit(Some(record), Some(record), sighting).unwrap()
    }

    #[test]
    fn the_same_run_stays_in_its_epoch() {
        assert_eq!(
            epoch_for(&sighting("one", EpochMark::Installed(Epoch::new(4)))),
            4
        );
    }

    #[test]
    fn a_restart_that_kept_everything_stays_in_its_epoch() {
        let mut complete = sighting("two", EpochMark::Installed(Epoch::new(4)));
        complete.complete = true;
        assert_eq!(epoch_for(&complete), 4);

        let elsewhere = Sighting {
            address: "there".to_owned(),
            ..complete.clone()
        };
        assert_eq!(epoch_for(&elsewhere), 5);
        let behind = Sighting {
            position: Position { major: 9, minor: 9 },
            ..complete
        };
        assert_eq!(epoch_for(&behind), 5);
    }

    #[test]
    fn whatever_may_have_lost_something_begins_an_epoch() {
        assert_eq!(
            epoch_for(&sighting("two", EpochMark::Installed(Epoch::new(4)))),
            5
        );
        assert_eq!(
            epoch_for(&sighting("one", EpochMark::Missing { nonce: 9 })),
            5
        );
        assert_eq!(
            epoch_for(&sighting("two", EpochMark::Installed(Epoch::new(3)))),
            5
        );
        assert_eq!(
            epoch_for(&sighting("two", EpochMark::Installed(Epoch::new(9)))),
            10
        );
    }

    #[test]
    fn an_installation_under_way_is_joined() {
        assert_eq!(
            epoch_for(&sighting("one", EpochMark::Installed(Epoch::new(3)))),
            4
        );
    }

    #[test]
    fn who_sighted_what_an_epoch_has_replaced_since_comes_late_and_saw_no_loss() {
        let installed = sighting("one", EpochMark::Installed(Epoch::new(4)));
        let record = admit(&record(), &installed);
        let epoch_for = |nonce| {
            let sighting = sighting("one", EpochMark::Missing { nonce });
            admit(&record, &sighting).epoch.get()
        };
        assert_eq!(epoch_for(1), 4);
        assert_eq!(epoch_for(9), 5, "another number was left after a loss");
    }

    #[test]
    fn a_sighting_that_another_run_has_overtaken_decides_nothing() {
        let late = sighting("two", EpochMark::Installed(Epoch::new(4)));
        let before = record();
        let now = ShardRecord {
            incarnation: Incarnation("three".to_owned()),
            ..record()
        };
        for read in [None, Some(&before)] {
            assert_eq!(ShardRecord::admit(Some(&now), read, &late), None);
            // A sighting that changes nothing is never overtaken.
            let same = sighting("three", EpochMark::Installed(Epoch::new(4)));
            let admitted = ShardRecord::admit(Some(&now), read, &same).unwrap();
            assert_eq!(admitted.epoch, Epoch::new(4));
        }
    }

    #[test]
    fn a_shard_starts_with_the_first_epoch() {
        let sighting = sighting("one", EpochMark::Missing { nonce: 1 });
        let first = ShardRecord::admit(None, None, &sighting).unwrap();
        assert_eq!(first.epoch, Epoch::FIRST);
    }
}
