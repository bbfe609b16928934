//! The protocol, and what it would be without one of its parts.

/// A part of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// The number is drawn in one call and enqueued in another.
    CountsAndEnqueuesApart,
    /// An unknown sequence begins at 1.
    StartsByItself,
    /// A seeder reads the database before what is pending.
    SeedsFromDatabaseFirst,
    /// Whoever was once told that a sequence is unknown may seed it.
    SeedsWithoutLease,
    /// A new chat leaves alone who was given leave to seed its messages before it was there.
    NewChatsLeaveLeases,
    /// A mark of deletion leaves alone who was given leave to seed.
    DeletionsLeaveLeases,
    /// Storing does not raise the sequence's last number.
    ForgetsLastNumbers,
    /// A worker ends the delivery before it stores.
    SettlesBeforeCommit,
    /// A pending creation may expire.
    PendingExpires,
    /// What is found is taken for inserted: the uid of the row is not compared.
    ReadsRowsAffected,
    /// A deletion takes the sequence's key away instead of marking it.
    DeletesTheKey,
    /// Reading asks the database once, and then what is pending.
    ReadsDatabaseOnce,
    /// A number is given whatever run of the server answers.
    AdmissionNotAsked,
    /// The run is asked for, and not whether it took its data from another server meanwhile.
    CopiesNotAsked,
    /// An admission never begins a new epoch.
    EpochStays,
    /// Where there is no epoch's mark nothing is left there, so nobody can tell two losses apart.
    LeavesNoNonce,
    /// What a replaced mark was is not remembered, so who sighted it seems to have seen a loss.
    ForgetsReplacedMarks,
    /// The first proof of an epoch does not leap.
    NeverLeaps,
    /// The leap is told, and not stored.
    LeapNotStored,
    /// A proof is given to seeders of any epoch.
    ProvesInAnyEpoch,
    /// A server settles although its epoch is behind the database's.
    SettlesInAnyEpoch,
    /// The worker tells the epoch that it knew when it took the entry.
    RemembersEpochs,
    /// Whoever drops a dead letter makes room without asking for the epoch.
    DropsInAnyEpoch,
    /// As many as like may be pending.
    LimitIgnored,
    /// No word is left on a server that another one has had its data.
    ReplicasNotNoted,
    /// A sighting is admitted whether or not others have had another run admitted since.
    AdmitsTheOvertaken,
    /// What is pending is not told with the lease, but read from whichever server answers then.
    LeasesTellNothing,
}

/// The parts that are left out of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weaknesses(u32);

impl Weaknesses {
    pub(crate) fn new(weaknesses: &[Weakness]) -> Self {
        Self(weaknesses.iter().fold(0, |all, it| all | 1 << *it as u32))
    }

    pub(crate) fn has(self, weakness: Weakness) -> bool {
        self.0 & (1 << weakness as u32) != 0
    }
}
