//! The outbox, jobs, audits and purges.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    contract::{
        Scene,
        scene::{body, chat, message, message_key},
    },
    model::{GenerationState, JobName, JobProgress, JobState, NumberRange},
    ports::{Claim, Deletion, JobClaim, Lookup, OutboxBacklog, OutboxChange, Ports},
};

/// While an index generation exists, each store, update and deletion leaves an outbox row; without a
/// generation none does.
pub async fn changes_leave_outbox_rows(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let now = scene.now();
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1, 2]).await;
    assert!(changes(&scene).await.is_empty());

    let generation = repository.add_generation().await.unwrap();
    assert_eq!(generation.state, GenerationState::Building);
    let (one, two) = (message_key(key, 1), message_key(key, 2));
    scene.stored_messages(key, &[3, 4]).await;
    let expected = [3, 4].map(|of| OutboxChange::Message(message_key(key, of)));
    assert_eq!(changes(&scene).await, expected);
    // What the counter stores at once is noted as well.
    let created = scene.create(message(scene.chat().await, "at once")).await;
    let noted = changes(&scene).await;
    if repository
        .message(created.as_message().unwrap().key)
        .await
        .unwrap()
        != Lookup::Absent
    {
        assert_eq!(
            noted,
            [OutboxChange::Message(created.as_message().unwrap().key)]
        );
    }
    repository
        .update_message(one, &body("new"), now, None)
        .await
        .unwrap();
    repository.delete_message(two, now, None).await.unwrap();
    repository.delete_message(two, now, None).await.unwrap();
    assert_eq!(
        changes(&scene).await,
        [OutboxChange::Message(one), OutboxChange::Message(two)]
    );
    repository.delete_chat(key, now, None).await.unwrap();
    repository
        .delete_application(key.application, now)
        .await
        .unwrap();
    let expected = [
        OutboxChange::ChatDeleted(key),
        OutboxChange::ApplicationDeleted(key.application),
    ];
    assert_eq!(changes(&scene).await, expected);

    let next = repository.add_generation().await.unwrap();
    assert!(next.number > generation.number);
    let absent = repository.serve_generation(next.number + 1).await.unwrap();
    assert!(!absent && repository.generations().await.unwrap().len() == 2);
    for _ in 0..2 {
        assert!(repository.serve_generation(next.number).await.unwrap());
    }
    let left = repository.generations().await.unwrap();
    assert_eq!(left.len(), 1, "a generation that serves is the only one");
    assert_eq!(
        (left[0].number, left[0].state),
        (next.number, GenerationState::Serving)
    );
    repository.remove_generation(next.number).await.unwrap();
    assert!(repository.generations().await.unwrap().is_empty());
}

/// Concurrent claims share no row, and rows of an expired claim are free.
pub async fn outbox_rows_are_claimed_once(ports: Ports) {
    const CLAIMANTS: usize = 8;
    let scene = Scene::new(ports);
    let repository = scene.repository();
    repository.add_generation().await.unwrap();
    let key = scene.stored_chat().await;
    changes(&scene).await;
    for of in 1..=40 {
        scene.stored_messages(key, &[of]).await;
    }
    let barrier = Arc::new(Barrier::new(CLAIMANTS));
    let mut claimants = JoinSet::new();
    for claimant in 0..CLAIMANTS {
        let (scene, barrier) = (scene.clone(), Arc::clone(&barrier));
        claimants.spawn(async move {
            let claim = claim(&scene, &format!("claimant {claimant}"));
            let mut rows = Vec::new();
            barrier.wait().await;
            for _ in 0..100 {
                let more = scene.repository().claim_outbox(&claim, 3).await.unwrap();
                if more.is_empty() {
                    return rows;
                }
                rows.extend(more.iter().map(|row| row.id));
            }
            panic!("what is claimed is claimed over and over");
        });
    }
    let rows = claimants.join_all().await.concat();
    let distinct: BTreeSet<_> = rows.iter().copied().collect();
    assert_eq!(
        (rows.len(), distinct.len()),
        (40, 40),
        "a row was claimed twice, or never"
    );

    let late = Claim {
        now: scene.now().plus(Duration::from_secs(61)),
        ..claim(&scene, "late")
    };
    let late = Claim {
        until: late.now.plus(Duration::from_mins(1)),
        ..late
    };
    let taken = repository.claim_outbox(&late, 100).await.unwrap();
    assert_eq!(taken.len(), 40);
    let ids: Vec<u64> = taken.iter().map(|row| row.id).collect();
    repository
        .complete_outbox(&claim(&scene, "claimant 0"), &ids)
        .await
        .unwrap();
    let later = Claim {
        now: late.until,
        ..late.clone()
    };
    let left = repository.claim_outbox(&later, 100).await.unwrap();
    assert_eq!(
        left.len(),
        40,
        "a holder of old removed what another one holds"
    );
    repository.complete_outbox(&late, &ids).await.unwrap();
    assert!(
        repository
            .claim_outbox(&later, 100)
            .await
            .unwrap()
            .is_empty()
    );
}

/// A row that its holder gave back can be claimed at once; nobody can give back a row that another
/// claimant holds.
pub async fn released_rows_are_free(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    repository.add_generation().await.unwrap();
    let key = scene.stored_chat().await;
    changes(&scene).await;
    for of in 1..=3 {
        scene.stored_messages(key, &[of]).await;
    }
    let (one, two) = (claim(&scene, "one"), claim(&scene, "two"));
    let taken = repository.claim_outbox(&one, 9).await.unwrap();
    let ids: Vec<u64> = taken.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 3);
    repository.release_outbox(&two, &ids).await.unwrap();
    let none = repository.claim_outbox(&two, 9).await.unwrap();
    assert_eq!(none, [], "somebody else gave them back");
    repository.release_outbox(&one, &ids[1..]).await.unwrap();
    let free = repository.claim_outbox(&two, 9).await.unwrap();
    assert_eq!(free, taken[1..]);
    // What was given back has another holder by now, so it stays.
    repository.complete_outbox(&one, &ids).await.unwrap();
    assert_eq!(repository.outbox_backlog().await.unwrap().rows, 2);
}

/// What was noted by hand is claimed like any change, and the backlog tells how many rows there are
/// and which is the oldest.
pub async fn noted_changes_come_out(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let key = scene.stored_chat().await;
    let again = OutboxChange::Message(message_key(key, 1));
    repository.note_changes(&[again]).await.unwrap();
    assert_eq!(
        repository.outbox_backlog().await.unwrap(),
        OutboxBacklog::default()
    );
    repository.add_generation().await.unwrap();
    repository.note_changes(&[again]).await.unwrap();
    scene.stored_messages(key, &[2]).await;
    let backlog = repository.outbox_backlog().await.unwrap();
    assert_eq!(backlog.rows, 2);
    let claim = claim(&scene, "the law");
    let rows = repository.claim_outbox(&claim, 1).await.unwrap();
    assert_eq!(
        (backlog.lowest, &rows[0].changes),
        (Some(rows[0].id), &vec![again])
    );
    repository
        .complete_outbox(&claim, &[rows[0].id])
        .await
        .unwrap();
    let later = repository.outbox_backlog().await.unwrap();
    assert!(
        later.rows == 1 && later.lowest > backlog.lowest,
        "{later:?}"
    );
}

/// A scan shows each live message once, with its version, does not read on to make up for dead ones, and
/// the count of the live ones is right.
pub async fn scan_finds_every_live_message(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let mut expected = Vec::new();
    for _ in 0..3 {
        let key = scene.stored_chat().await;
        scene.stored_messages(key, &[1, 2, 3]).await;
        let (one, two) = (message_key(key, 1), message_key(key, 2));
        repository
            .update_message(one, &body("new"), scene.now(), None)
            .await
            .unwrap();
        repository
            .delete_message(two, scene.now(), None)
            .await
            .unwrap();
        expected.extend([(one, 2), (message_key(key, 3), 1)]);
    }
    let gone = scene.stored_chat().await;
    scene.stored_messages(gone, &[1]).await;
    repository
        .delete_chat(gone, scene.now(), None)
        .await
        .unwrap();
    let (mut scanned, mut after) = (Vec::new(), None);
    loop {
        let some = repository.scan_messages(after, 2).await.unwrap();
        let Some(last) = some.last() else { break };
        // A piece may have fewer live messages, or none, but always moves on.
        assert!(some.len() <= 2 && after < Some(last.key));
        after = Some(last.key);
        let live = some
            .into_iter()
            .filter_map(|it| Some((it.key, it.current?.1)));
        scanned.extend(live);
    }
    expected.sort();
    assert_eq!(scanned, expected);
    let first = repository.scan_messages(Some(expected[0].0), 1).await;
    let first = first.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].key.message.get(), &first[0].current), (2, &None));
    assert_eq!(repository.count_messages().await.unwrap(), 6);
}

/// A message that was stored before its chat is read by key and scanned, until the chat is deleted.
pub async fn chat_on_its_way_hides_nothing_from_the_index(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let application = scene.application().await.id;
    let comes = scene.creation(chat(application), 1);
    let key = comes.as_chat().unwrap().key;
    scene.stored_messages(key, &[1]).await;
    let one = message_key(key, 1);
    let is_live = async || {
        let read = repository.messages_by_key(&[one]).await.unwrap();
        let scanned = repository.scan_messages(None, 9).await.unwrap();
        // A scan may show a deleted message as gone, or leave it out.
        assert_eq!(scanned.first().unwrap_or(&read[0]), &read[0]);
        read[0].current.is_some()
    };
    assert!(is_live().await, "before its chat");
    let deleted = repository.delete_chat(key, scene.now(), Some(comes)).await;
    assert_eq!(deleted.unwrap(), Deletion::Deleted);
    assert!(!is_live().await, "after its chat");
}

/// A job has one holder until its lease ends.
pub async fn one_holder_has_the_job(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let job = JobName::RebuildSearch;
    assert_eq!(repository.job(job).await.unwrap(), None);
    let one = claim(&scene, "one");
    let two = claim(&scene, "two");
    assert_eq!(
        repository.claim_job(job, &one).await.unwrap(),
        JobClaim::Claimed(None)
    );
    assert!(matches!(
        repository.claim_job(job, &two).await.unwrap(),
        JobClaim::Held(_)
    ));
    let progress = JobProgress {
        state: JobState::Running,
        done: 5,
        total: 9,
        started_at: one.now,
        finished_at: None,
        detail: Some("half-way".to_owned()),
    };
    assert!(repository.report_job(job, &one, &progress).await.unwrap());
    assert!(!repository.report_job(job, &two, &progress).await.unwrap());
    let read = repository.job(job).await.unwrap().unwrap();
    assert_eq!((read.holder.as_str(), &read.progress), ("one", &progress));

    let late = Claim {
        now: one.until,
        until: one.until.plus(Duration::from_mins(1)),
        ..two
    };
    let taken = repository.claim_job(job, &late).await.unwrap();
    assert!(matches!(taken, JobClaim::Claimed(Some(before)) if before.progress == progress));
    assert!(
        !repository.report_job(job, &one, &progress).await.unwrap(),
        "it was taken over"
    );
    let other = repository.claim_job(JobName::Purge, &one).await.unwrap();
    assert_eq!(
        other,
        JobClaim::Claimed(None),
        "jobs do not hinder each other"
    );
}

/// An audit of sound counts changes none.
pub async fn audit_repairs_nothing_that_is_right(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let mut chats = Vec::new();
    for of in 1..=5 {
        let key = scene.stored_chat().await;
        scene
            .stored_messages(key, &(1..=of).collect::<Vec<_>>())
            .await;
        repository
            .delete_message(message_key(key, 1), scene.now(), None)
            .await
            .unwrap();
        chats.push(key);
    }
    let mut after = None;
    let mut checked = 0;
    loop {
        let audit = repository.audit_chats(after, 2).await.unwrap();
        assert_eq!(audit.repaired, []);
        checked += audit.checked;
        after = audit.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(checked, 5);
    let mut after = None;
    loop {
        let audit = repository.audit_applications(after, 2).await.unwrap();
        assert_eq!(audit.repaired, []);
        after = audit.next;
        if after.is_none() {
            break;
        }
    }
    for (key, of) in chats.into_iter().zip(1..) {
        assert_eq!(scene.messages_count(key).await, of - 1);
    }
}

/// What was purged is absent, but its number is never given again.
pub async fn purging_frees_no_number(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1, 2, 3]).await;
    repository
        .delete_message(message_key(key, 3), scene.now(), None)
        .await
        .unwrap();
    let now = scene.now();
    assert!(
        repository
            .tombstones(now, None, 9)
            .await
            .unwrap()
            .is_empty(),
        "not old enough"
    );
    let later = now.plus(Duration::from_secs(1));
    let dead = repository.tombstones(later, None, 9).await.unwrap();
    assert_eq!(dead, [message_key(key, 3)]);
    assert!(
        repository
            .tombstones(later, Some(dead[0]), 9)
            .await
            .unwrap()
            .is_empty()
    );
    // A live message among the keys stays.
    let keys = [message_key(key, 1), message_key(key, 3)];
    assert_eq!(repository.purge_tombstones(&keys).await.unwrap(), 1);
    assert_eq!(
        repository.message(message_key(key, 3)).await.unwrap(),
        Lookup::Absent
    );
    assert_eq!(scene.messages_count(key).await, 2);

    let doomed = scene.stored_chat().await;
    scene.stored_messages(doomed, &[1, 2]).await;
    repository.delete_chat(doomed, now, None).await.unwrap();
    let gone = scene.stored_chat().await;
    scene.stored_messages(gone, &[1]).await;
    repository
        .delete_application(gone.application, now)
        .await
        .unwrap();
    let mut purged = 0;
    loop {
        let some = repository.purge_below_deleted(2).await.unwrap();
        assert!(some <= 2);
        purged += some;
        if some == 0 {
            break;
        }
    }
    assert_eq!(
        purged, 4,
        "three messages, and the chat of the deleted application"
    );
    assert_eq!(repository.chat(doomed).await.unwrap(), Lookup::Gone);
    assert_eq!(scene.messages_count(key).await, 2);
    let all = NumberRange::all();
    assert_eq!(
        repository
            .messages(key, &all, 9, &[])
            .await
            .unwrap()
            .rows
            .len(),
        2
    );
}

/// Takes the rows of the outbox, completes them, and answers their changes.
pub(super) async fn changes(scene: &Scene) -> Vec<OutboxChange> {
    let claim = claim(scene, "the law");
    let rows = scene.repository().claim_outbox(&claim, 100).await.unwrap();
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    scene
        .repository()
        .complete_outbox(&claim, &ids)
        .await
        .unwrap();
    rows.into_iter().flat_map(|row| row.changes).collect()
}

fn claim(scene: &Scene, holder: &str) -> Claim {
    Claim::new(holder, scene.now(), Duration::from_mins(1))
}
