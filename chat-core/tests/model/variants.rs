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
    /// A new chat does not revoke a lease to seed its messages that was given before it was there.
    NewChatsLeaveLeases,
    /// A mark of deletion does not revoke a lease to seed.
    DeletionsLeaveLeases,
    /// Storing does not raise the sequence's last number.
    ForgetsLastNumbers,
    /// A worker settles an entry when it takes it, before it stores.
    SettlesBeforeCommit,
    /// A pending creation may expire.
    PendingExpires,
    /// A row that is found is taken for inserted: its uid is not compared.
    ReadsRowsAffected,
    /// A deletion takes the sequence's key away instead of marking it.
    DeletesTheKey,
    /// Reading asks the database once, and then what is pending.
    ReadsDatabaseOnce,
    /// A number is given whatever run of the server answers.
    AdmissionNotAsked,
    /// The server's run is checked, but not whether it copied its data from another server meanwhile.
    CopiesNotAsked,
    /// An admission never begins a new epoch.
    EpochStays,
    /// Where an epoch's mark is missing no nonce is left, so nobody can tell two losses apart.
    LeavesNoNonce,
    /// A replaced mark is not remembered, so a process that sighted it seems to have seen a loss.
    ForgetsReplacedMarks,
    /// The first proof of an epoch does not leap.
    NeverLeaps,
    /// The leap is told to the seeder, but not stored.
    LeapNotStored,
    /// A proof is given to seeders of any epoch.
    ProvesInAnyEpoch,
    /// A server settles although its epoch is behind the database's.
    SettlesInAnyEpoch,
    /// The worker tells the epoch that it knew when it took the entry.
    RemembersEpochs,
    /// Dropping a dead letter settles what is pending without asking for the epoch.
    DropsInAnyEpoch,
    /// Any number of creations may be pending.
    LimitIgnored,
    /// It is not noted on a server that another one has copied its data.
    ReplicasNotNoted,
    /// A sighting is admitted although others have had another run admitted since.
    AdmitsTheOvertaken,
    /// What is pending is not told with the lease, but read later from whichever server answers.
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
