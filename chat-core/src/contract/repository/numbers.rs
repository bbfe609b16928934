//! Proving numbers, and admitting counters' servers.

use std::time::Duration;

use crate::{
    contract::{
        Scene,
        scene::{message, message_key},
    },
    model::{
        ApplicationId, ChatKey, ChatNumber, Creation, Epoch, EpochMark, Incarnation, Number,
        NumberRange, Order, Position, Sequence, Shard, Sighting,
    },
    ports::{Basis, Ports, StoreBatch},
};

const SHARD: Shard = Shard::ONLY;

/// The basis of a sequence is the highest number that it stored, including deleted and purged ones.
pub async fn basis_is_the_highest_number(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let basis = async |sequence: Sequence| {
        repository
            .basis(&sequence, SHARD, Epoch::FIRST, None)
            .await
            .unwrap()
    };
    let application = scene.application().await.id;
    assert_eq!(basis(Sequence::Chats(application)).await, Basis::Last(0));
    let chat = scene.stored_chat_of(application, 3).await;
    assert_eq!(basis(Sequence::Chats(application)).await, Basis::Last(3));
    assert_eq!(basis(Sequence::Messages(chat)).await, Basis::Last(0));
    scene.stored_messages(chat, &[2, 7]).await;
    let last = message_key(chat, 7);
    repository
        .delete_message(last, scene.now(), None)
        .await
        .unwrap();
    assert_eq!(basis(Sequence::Messages(chat)).await, Basis::Last(7));
    repository.purge_tombstones(&[last]).await.unwrap();
    assert_eq!(basis(Sequence::Messages(chat)).await, Basis::Last(7));

    let nowhere = Sequence::Chats(ApplicationId::new(987_654_321));
    assert_eq!(basis(nowhere).await, Basis::Absent);
    let no_chat = ChatKey {
        application,
        chat: ChatNumber::try_new(99).unwrap(),
    };
    assert_eq!(basis(Sequence::Messages(no_chat)).await, Basis::Absent);
    repository
        .delete_chat(chat, scene.now(), None)
        .await
        .unwrap();
    assert_eq!(basis(Sequence::Messages(chat)).await, Basis::Deleted);
    repository
        .delete_application(application, scene.now())
        .await
        .unwrap();
    assert_eq!(basis(Sequence::Chats(application)).await, Basis::Deleted);
}

/// The first basis of a later epoch leaps far ahead, later ones stay there.
pub async fn basis_leaps_in_a_new_epoch(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let chat = scene.stored_chat().await;
    scene.stored_messages(chat, &[1, 2]).await;
    let unused = scene.application().await.id;
    let first = admit(&scene, "one", EpochMark::Missing { nonce: 1 }).await;
    let sequence = Sequence::Messages(chat);
    let basis = repository
        .basis(&sequence, SHARD, first, None)
        .await
        .unwrap();
    assert_eq!(basis, Basis::Last(2));

    let second = admit(&scene, "two", EpochMark::Missing { nonce: 2 }).await;
    assert_eq!(second, first.next());
    for _ in 0..2 {
        let basis = repository
            .basis(&sequence, SHARD, second, None)
            .await
            .unwrap();
        assert_eq!(basis, Basis::Last(2 + Basis::LEAP));
    }
    // No number of it was ever given, so none can be lost, and it starts with 1.
    let basis = repository
        .basis(&Sequence::Chats(unused), SHARD, second, None)
        .await
        .unwrap();
    assert_eq!(basis, Basis::Last(0));
    // A chat that is pending since the first epoch may have given numbers that are lost.
    let pending = ChatKey {
        application: unused,
        chat: ChatNumber::try_new(1).unwrap(),
    };
    let sequence = Sequence::Messages(pending);
    for _ in 0..2 {
        let basis = repository
            .basis(&sequence, SHARD, second, Some(first))
            .await
            .unwrap();
        assert_eq!(basis, Basis::Last(Basis::LEAP));
    }
    // Storing a lower number in the new epoch does not lower the basis.
    let late = Creation {
        epoch: second,
        ..scene.creation(message(chat, "late"), 3)
    };
    scene.store(&[late]).await;
    let basis = repository
        .basis(&Sequence::Messages(chat), SHARD, second, None)
        .await
        .unwrap();
    assert_eq!(basis, Basis::Last(2 + Basis::LEAP));
}

/// An epoch that is not the shard's is refused.
pub async fn stale_epoch_gets_no_basis(ports: Ports) {
    let scene = Scene::new(ports);
    let sequence = Sequence::Chats(scene.application().await.id);
    let first = admit(&scene, "one", EpochMark::Missing { nonce: 1 }).await;
    let second = admit(&scene, "two", EpochMark::Missing { nonce: 2 }).await;
    for stale in [first, second.next()] {
        let basis = scene
            .repository()
            .basis(&sequence, SHARD, stale, None)
            .await
            .unwrap();
        assert_eq!(basis, Basis::StaleEpoch);
    }
    let basis = scene
        .repository()
        .basis(&sequence, SHARD, second, None)
        .await
        .unwrap();
    assert_eq!(basis, Basis::Last(0));
}

/// The same sighting is admitted into the same epoch again.
pub async fn admission_is_remembered(ports: Ports) {
    let scene = Scene::new(ports);
    let first = admit(&scene, "one", EpochMark::Missing { nonce: u64::MAX }).await;
    assert_eq!(first, Epoch::FIRST);
    // Two processes that saw the same must not be sent into two epochs, or the counter ends up in
    // the one that the repository has left.
    assert_eq!(
        admit(&scene, "one", EpochMark::Missing { nonce: u64::MAX }).await,
        first
    );
    for _ in 0..2 {
        assert_eq!(
            admit(&scene, "one", EpochMark::Installed(first)).await,
            first
        );
    }
    let second = admit(&scene, "two", EpochMark::Installed(first)).await;
    assert_eq!(second, first.next());
    // Another process that saw the run before the epoch was installed joins it.
    assert_eq!(
        admit(&scene, "two", EpochMark::Installed(first)).await,
        second
    );
}

/// A sighting of one run decides nothing if another run was admitted since the record was read.
pub async fn overtaken_sighting_is_not_admitted(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let read = async || repository.shard(SHARD).await.unwrap();
    assert_eq!(read().await, None);
    let first = admit(&scene, "one", EpochMark::Missing { nonce: 1 }).await;
    let before = read().await;
    let run = |run| sighting(run, EpochMark::Installed(first));
    let second = scene.admit(&run("two")).await.epoch;
    assert_eq!(second, first.next());
    // A sighting of another run, made before that, arrives only now.
    let now = read().await;
    for read in [None, before.clone()] {
        let late = repository.admit(&run("late"), read).await.unwrap();
        assert_eq!(late, None);
    }
    assert_eq!(read().await, now);
    // A sighting of the admitted run is fine, even with an outdated record.
    let joined = repository.admit(&run("two"), before).await.unwrap();
    assert_eq!(joined.map(|admission| admission.epoch), Some(second));
    let third = repository.admit(&run("three"), read().await).await.unwrap();
    assert_eq!(third.map(|admission| admission.epoch), Some(second.next()));
}

/// The first count stays, and later callers are told it.
pub async fn shard_count_is_fixed_once(ports: Ports) {
    let scene = Scene::new(ports);
    for count in [16, 8, 16] {
        assert_eq!(scene.repository().fix_shards(count).await.unwrap(), 16);
    }
}

/// A report tells the epochs as they are when the batch is stored.
pub async fn report_tells_the_epochs(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    let epochs = async |of| {
        let batch = batch(&scene, &[scene.creation(message(chat, "one"), of)], &[]);
        scene.repository().store(&batch).await.unwrap().epochs
    };
    assert_eq!(epochs(1).await, []);
    for (of, run) in [(2, "one"), (3, "two"), (4, "three")] {
        let epoch = admit(&scene, run, EpochMark::Missing { nonce: of }).await;
        assert_eq!(epoch.get(), Epoch::FIRST.get() + of - 2);
        assert_eq!(epochs(of).await, [(SHARD, epoch)]);
    }
    let other = Sighting {
        shard: Shard::new(3),
        ..sighting("three", EpochMark::Missing { nonce: 1 })
    };
    scene.admit(&other).await;
    let mut told = epochs(5).await;
    told.sort_unstable();
    let third = Epoch::FIRST.next().next();
    assert_eq!(told, [(SHARD, third), (Shard::new(3), Epoch::FIRST)]);
}

/// The position kept of a shard is the furthest that any batch reported, in whatever order they come.
pub async fn positions_never_go_back(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    let position = |major, minor| Position { major, minor };
    let epoch = admit(&scene, "one", EpochMark::Missing { nonce: 1 }).await;
    let told = [position(50, 7), position(50, 3), position(20, 90)];
    for (of, position) in (1..).zip(told) {
        let creations = [scene.creation(message(chat, "one"), of)];
        let batch = batch(&scene, &creations, &[(SHARD, position)]);
        scene.repository().store(&batch).await.unwrap();
    }
    // A server that came back from its own disk keeps its epoch only if it has all that was stored.
    let back = async |run: &str, position| {
        let sighting = Sighting {
            complete: true,
            position,
            ..sighting(run, EpochMark::Installed(epoch))
        };
        scene.admit(&sighting).await.epoch
    };
    assert_eq!(back("complete", position(50, 7)).await, epoch);
    assert_eq!(back("behind", position(50, 6)).await, epoch.next());
}

/// Rows and bases at the highest numbers neither wrap nor fail.
pub async fn numbers_hold_to_their_end(ports: Ports) {
    const LAST: u64 = Number::MAX;
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let application = scene.application().await.id;
    let chat = scene.stored_chat_of(application, LAST).await;
    scene.stored_messages(chat, &[LAST - 1, LAST]).await;
    let sequences = [Sequence::Chats(application), Sequence::Messages(chat)];
    let bases = async |epoch| {
        for sequence in &sequences {
            let basis = repository
                .basis(sequence, SHARD, epoch, None)
                .await
                .unwrap();
            assert_eq!(basis, Basis::Last(LAST), "{sequence} in epoch {epoch}");
        }
    };
    let read = async |range: NumberRange, expected: &[u64]| {
        let slice = repository.messages(chat, &range, 9, &[]).await.unwrap();
        let numbers = slice.rows.iter().map(|row| row.key.message.get());
        assert_eq!(numbers.collect::<Vec<_>>(), expected);
    };
    read(NumberRange::all(), &[LAST - 1, LAST]).await;
    let descending = NumberRange::new(None, None, Order::Descending);
    read(descending, &[LAST, LAST - 1]).await;
    let behind = NumberRange::new(Some(LAST - 1), None, Order::Ascending);
    read(behind, &[LAST]).await;
    let listed = repository.all_messages(Some(message_key(chat, LAST - 1)), 9);
    assert_eq!(listed.await.unwrap().len(), 1);
    let listed = repository.all_chats(Some(chat), 9).await.unwrap();
    assert_eq!(listed, []);

    let first = admit(&scene, "one", EpochMark::Missing { nonce: 1 }).await;
    bases(first).await;
    // No leap goes above the highest number, after which nothing is numbered.
    let second = admit(&scene, "two", EpochMark::Missing { nonce: 2 }).await;
    for _ in 0..2 {
        bases(second).await;
    }
    let last = message_key(chat, LAST);
    repository
        .delete_message(last, scene.now(), None)
        .await
        .unwrap();
    let audit = repository.audit_chats(None, 9).await.unwrap();
    assert_eq!((audit.repaired, audit.failed), (vec![], vec![]));
    assert_eq!(repository.purge_tombstones(&[last]).await.unwrap(), 1);
    bases(second).await;
    assert_eq!(scene.messages_count(chat).await, 1);
}

fn batch(scene: &Scene, creations: &[Creation], positions: &[(Shard, Position)]) -> StoreBatch {
    StoreBatch {
        creations: creations.iter().map(|it| (it.clone(), false)).collect(),
        not_before: scene.now().minus(Duration::from_hours(1)),
        positions: positions.to_vec(),
    }
}

async fn admit(scene: &Scene, run: &str, mark: EpochMark) -> Epoch {
    let sighting = sighting(run, mark);
    let admission = scene.admit(&sighting).await;
    assert_eq!(admission.sighting, sighting);
    admission.epoch
}

fn sighting(run: &str, mark: EpochMark) -> Sighting {
    Sighting {
        shard: SHARD,
        address: "here".to_owned(),
        incarnation: Incarnation(run.to_owned()),
        mark,
        complete: false,
        position: Position::default(),
    }
}
