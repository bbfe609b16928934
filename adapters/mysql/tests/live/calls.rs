//! Every method of the repository, called on what `plans` filled in.

use std::{sync::Arc, time::Duration};

use chat_adapter_mysql::MySqlRepository;
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{
        ApplicationId, ChatKey, Epoch, EpochMark, Incarnation, JobName, JobProgress, Number,
        NumberRange, Order, Position, Sequence, Shard, Sighting, Timestamp,
    },
    ports::{Claim, OutboxChange, Ports, StoreBatch},
};

use crate::stage::{body, chat_key, message_key, new_chat, new_message};

/// Calls every method, with and without something pending where there is a difference.
pub(crate) async fn call_everything(repository: MySqlRepository) {
    let scene = Scene::new(Ports {
        repository: Arc::new(repository),
        ..Memory::new().ports()
    });
    let it = scene.repository();
    let generation = it.add_generation().await.unwrap();
    it.serve_generation(generation.number).await.unwrap();
    it.generations().await.unwrap();
    let application = scene.application().await;
    it.application_id(&application.token).await.unwrap();
    it.application(application.id).await.unwrap();
    it.applications(Some(ApplicationId::new(7)), 10)
        .await
        .unwrap();
    let name = application.name.clone();
    it.rename_application(application.id, &name, scene.now())
        .await
        .unwrap();
    call_chats(&scene).await;
    call_messages(&scene).await;
    call_storing(&scene).await;
    call_notes(&scene).await;
    call_upkeep(&scene).await;
    it.delete_application(application.id, scene.now())
        .await
        .unwrap();
    it.remove_generation(generation.number).await.unwrap();
}

fn chat(application: u64, chat: u64) -> ChatKey {
    chat_key(ApplicationId::new(application), chat)
}

fn number(number: u64) -> Number {
    Number::try_new(number).unwrap()
}

/// Both orders, with and without numbers that are asked for.
fn ranges() -> impl Iterator<Item = (NumberRange, Vec<Number>)> {
    [Order::Ascending, Order::Descending]
        .into_iter()
        .flat_map(|order| {
            let range = NumberRange::new(Some(3), Some(23), order);
            [(range, Vec::new()), (range, vec![number(4), number(99)])]
        })
}

async fn call_chats(scene: &Scene) {
    let (it, now) = (scene.repository(), scene.now());
    let key = chat(7, 3);
    it.chat(key).await.unwrap();
    for (range, also) in ranges() {
        it.chats(key.application, &range, 10, &also).await.unwrap();
    }
    it.all_chats(Some(key), 10).await.unwrap();
    it.update_chat(key, None, now, None).await.unwrap();
    let (one, two) = (chat(7, 21), chat(7, 22));
    let pending = Some(new_chat(scene, one));
    it.update_chat(one, None, now, pending).await.unwrap();
    let pending = Some(new_chat(scene, two));
    it.delete_chat(two, now, pending).await.unwrap();
    it.delete_chat(chat(8, 3), now, None).await.unwrap();
}

async fn call_messages(scene: &Scene) {
    let (it, now) = (scene.repository(), scene.now());
    let parent = chat(7, 4);
    let key = message_key(parent, 4);
    it.message(key).await.unwrap();
    for (range, also) in ranges() {
        it.messages(parent, &range, 10, &also).await.unwrap();
    }
    it.all_messages(Some(key), 50).await.unwrap();
    it.scan_messages(Some(key), 50).await.unwrap();
    it.messages_by_key(&[key, message_key(parent, 8)])
        .await
        .unwrap();
    it.count_messages().await.unwrap();
    it.update_message(key, &body("new"), now, None)
        .await
        .unwrap();
    it.delete_message(message_key(parent, 6), now, None)
        .await
        .unwrap();
    let (one, two) = (message_key(parent, 26), message_key(parent, 27));
    let pending = Some(new_message(scene, one));
    it.update_message(one, &body("new"), now, pending)
        .await
        .unwrap();
    let pending = Some(new_message(scene, two));
    it.delete_message(two, now, pending).await.unwrap();
}

async fn call_storing(scene: &Scene) {
    let it = scene.repository();
    let shard = Shard::ONLY;
    for run in ["one", "two"] {
        let sighting = Sighting {
            shard,
            address: "here".to_owned(),
            incarnation: Incarnation(run.to_owned()),
            mark: EpochMark::Missing { nonce: 1 },
            complete: false,
            position: Position::default(),
        };
        let read = it.shard(shard).await.unwrap();
        it.admit(&sighting, read).await.unwrap();
    }
    it.fix_shards(16).await.unwrap();
    let epoch = Epoch::FIRST.next();
    for sequence in [
        Sequence::Chats(ApplicationId::new(9)),
        Sequence::Messages(chat(9, 3)),
    ] {
        it.basis(&sequence, shard, epoch, None).await.unwrap();
    }
    let keys = (1..30)
        .flat_map(|of| (20..30).map(move |message_of| message_key(chat(10, of), message_of)));
    let creations = keys
        .map(|key| new_message(scene, key))
        .chain([new_chat(scene, chat(10, 21))]);
    let batch = StoreBatch {
        creations: creations.map(|creation| (creation, false)).collect(),
        not_before: Timestamp::MIN,
        positions: vec![(shard, Position { major: 5, minor: 0 })],
    };
    it.store(&batch).await.unwrap();
    let messages_alone = StoreBatch {
        creations: vec![(new_message(scene, message_key(chat(10, 3), 50)), false)],
        ..batch
    };
    it.store(&messages_alone).await.unwrap();
}

async fn call_notes(scene: &Scene) {
    let it = scene.repository();
    let claim = Claim::new("the test", scene.now(), Duration::from_mins(1));
    it.note_changes(&[OutboxChange::ChatDeleted(chat(7, 3))])
        .await
        .unwrap();
    let rows = it.claim_outbox(&claim, 200).await.unwrap();
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    it.release_outbox(&claim, &ids[..20]).await.unwrap();
    it.complete_outbox(&claim, &ids[20..]).await.unwrap();
    it.outbox_backlog().await.unwrap();
    let letters = it.dead_letters(None, 10).await.unwrap();
    it.dead_letters(Some(letters[5].id.clone()), 10)
        .await
        .unwrap();
    it.dead_letter(&letters[0].id).await.unwrap();
    it.remove_dead_letter(&letters[0].id, Timestamp::MAX)
        .await
        .unwrap();
    it.add_dead_letter(&letters[0]).await.unwrap();
    for _ in 0..2 {
        it.claim_job(JobName::Purge, &claim).await.unwrap();
    }
    let progress = JobProgress::begun(scene.now());
    it.report_job(JobName::Purge, &claim, &progress)
        .await
        .unwrap();
    it.job(JobName::Purge).await.unwrap();
    it.check().await.unwrap();
}

async fn call_upkeep(scene: &Scene) {
    let it = scene.repository();
    let chats = it.audit_chats(Some(chat(10, 1)), 100).await.unwrap();
    let id = ApplicationId::new(5);
    let applications = it.audit_applications(Some(id), 20).await.unwrap();
    assert!(!chats.repaired.is_empty() && !applications.repaired.is_empty());
    let later = Timestamp::from_micros(i64::MAX);
    let after = Some(message_key(chat(11, 2), 3));
    let tombstones = it.tombstones(later, after, 5).await.unwrap();
    assert_eq!(it.purge_tombstones(&tombstones).await.unwrap(), 5);
    let mut purged = 0;
    for _ in 0..4 {
        purged += it.purge_below_deleted(100).await.unwrap();
    }
    assert!(purged > 100);
}
