//! Texts and settings: values come back byte for byte, and none is adjusted silently.

use chat_core::{
    model::{
        ApplicationId, ApplicationName, ChatTitle, Content, DeadLetter, DeadLetterId,
        DeadLetterReason, EpochMark, Incarnation, MessageBody, NewApplication, Number, NumberRange,
        Position, Sender, Shard, Sighting,
    },
    ports::{AddApplication, StoreBatch, StoreOutcome},
};

use crate::{
    fresh::FreshDatabase,
    stage::{
        batch, chat_key, check_counts, count, message_key, new_chat, new_message, open, run,
        wait_for_a_waiter,
    },
};

/// Characters of four bytes each.
fn four_bytes(count: usize) -> String {
    "\u{1F9D1}".repeat(count)
}

#[tokio::test]
async fn the_longest_texts_of_four_bytes_survive() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let text = format!(" {}\t", four_bytes(253));
    let new = NewApplication {
        id: ApplicationId::make(scene.now(), scene.ports.tokens.uid()),
        token: scene.ports.tokens.application_token(),
        name: ApplicationName::parse(text.clone()).unwrap(),
        created_at: scene.now(),
    };
    let added = scene.repository().add_application(&new).await.unwrap();
    let AddApplication::Added(added) = added else {
        panic!("a new token is taken");
    };
    let read = scene.repository().application(added.id).await.unwrap();
    assert_eq!(read.found().unwrap().name, new.name);

    let key = chat_key(added.id, 1);
    let chat = Content::Chat {
        application: added.id,
        title: ChatTitle::parse(text.clone()).ok(),
    };
    let bodies = [
        four_bytes(MessageBody::MAX / 4),
        format!("{}  ", "e\u{301}"),
        // Characters that collations treat as equal, or ignore.
        "\u{200B}a\u{FFFE}\u{FDD0}A\u{E000}".to_owned(),
        "back\\slash 'quote' \"double\" `tick` %_\u{1a}\u{8}".to_owned(),
    ];
    let mut creations = vec![scene.creation(chat, 1)];
    for (number, body) in (1..).zip(&bodies) {
        let content = Content::Message {
            chat: key,
            sender: Sender::parse(text.clone()).ok(),
            body: MessageBody::parse(body.clone()).unwrap(),
        };
        creations.push(scene.creation(content, number));
    }
    scene.store(&creations).await;
    for creation in &creations {
        if let Some(message) = creation.as_message() {
            let read = scene.repository().message(message.key).await.unwrap();
            assert_eq!(read.found(), Some(message));
        }
    }
    let read = scene.repository().chat(key).await.unwrap().found().unwrap();
    assert_eq!(read.title.unwrap().as_str(), text);
}

/// Numbers go to the server in JSON arrays, which some programs read as floating point.
#[tokio::test]
async fn the_largest_numbers_survive() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let it = scene.repository();
    let application = scene.application().await.id;
    let key = chat_key(application, Number::MAX - 1);
    let numbers = [Number::MAX - 2, Number::MAX - 1, Number::MAX];
    let mut creations = vec![new_chat(&scene, key)];
    creations.extend(numbers.map(|of| new_message(&scene, message_key(key, of))));
    let sighting = Sighting {
        shard: Shard::ONLY,
        address: "here".to_owned(),
        incarnation: Incarnation("one".to_owned()),
        mark: EpochMark::Missing { nonce: u64::MAX },
        complete: true,
        position: Position::default(),
    };
    scene.admit(&sighting).await;
    let furthest = Position {
        major: u64::MAX,
        minor: u64::MAX - 1,
    };
    let batch = StoreBatch {
        positions: vec![(Shard::ONLY, furthest)],
        ..batch(&creations)
    };
    for expected in [StoreOutcome::Stored, StoreOutcome::Present] {
        let report = it.store(&batch).await.unwrap();
        assert_eq!(report.outcomes, vec![expected; 4]);
    }
    let asked = numbers.map(|of| Number::try_new(of).unwrap());
    let nothing = NumberRange::all().up_to(0);
    let slice = it.messages(key, &nothing, 9, &asked).await.unwrap();
    assert_eq!(slice.known.into_keys().collect::<Vec<_>>(), asked);
    let last = message_key(key, Number::MAX);
    let read = it.messages_by_key(&[last]).await.unwrap();
    assert!(read[0].current.is_some());
    it.delete_message(last, scene.now(), None).await.unwrap();
    assert_eq!(it.purge_tombstones(&[last]).await.unwrap(), 1);
    let mut connection = database.connect().await;
    let there = format!(
        "shards WHERE position_major = {} AND position_minor = {}",
        furthest.major, furthest.minor
    );
    assert_eq!(count(&mut connection, &there).await, 1);
    check_counts(&mut connection).await;
}

#[tokio::test]
async fn ids_that_differ_in_white_space_or_case_are_different() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let it = scene.repository();
    let application = scene.application().await;
    let other_case: String = application
        .token
        .as_str()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let other = chat_core::model::ApplicationToken::parse(&other_case).unwrap();
    assert_eq!(it.application_id(&other).await.unwrap(), None);
    let creation = new_message(&scene, message_key(chat_key(application.id, 1), 1));
    let letter = DeadLetter {
        id: DeadLetterId::new("letter"),
        reason: DeadLetterReason::Refused,
        detail: four_bytes(9),
        number: None,
        epoch: creation.epoch,
        payload: creation.draft.encode(),
        first_failed_at: scene.now(),
        last_failed_at: scene.now(),
    };
    it.add_dead_letter(&letter).await.unwrap();
    assert_eq!(it.dead_letters(None, 9).await.unwrap(), [letter]);
    for id in ["letter ", "Letter", "", &"x".repeat(9_000), &four_bytes(1)] {
        assert_eq!(it.dead_letter(&DeadLetterId::new(id)).await.unwrap(), None);
    }
}

/// The driver asks the server to count rows that were found, not changed, so no method may conclude
/// from that what was inserted.
#[tokio::test]
async fn the_driver_counts_rows_that_did_not_change() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let mut connection = database.connect().await;
    let update = "UPDATE settings SET value = value WHERE name = 'generations'";
    let updated = sqlx::query(update).execute(&mut connection).await.unwrap();
    assert_eq!(updated.rows_affected(), 1, "the trap is gone");
    // Deletions count what they deleted.
    let key = scene.stored_chat().await;
    scene.stored_messages(key, &[1, 2]).await;
    let keys = [message_key(key, 1)];
    let purged = scene.repository().purge_tombstones(&keys).await.unwrap();
    assert_eq!(purged, 0);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_bent() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "ALTER TABLE messages MODIFY body VARBINARY(8) NOT NULL",
    )
    .await;
    let creation = new_message(&scene, message_key(key, 1));
    let batch = batch(&[creation]);
    let error = scene.repository().store(&batch).await.unwrap_err();
    assert_eq!(error.kind, chat_core::PortErrorKind::Rejected, "{error}");
    assert_eq!(count(&mut connection, "messages").await, 0);
    assert_eq!(scene.messages_count(key).await, 0, "all of it is undone");
    let told = format!("{error} {:?}", error.source);
    assert!(!told.contains("a message"), "it quotes data: {told}");
}

/// A statement must see what is committed when it begins; else, after a wait for a lock, it would read
/// what was there before the wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_read_what_is_committed() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut other = database.connect().await;
    run(&mut other, "BEGIN; SELECT * FROM applications FOR UPDATE").await;
    let storing = tokio::spawn(async move { scene.stored_messages(key, &[1]).await });
    let level = wait_for_a_waiter(&mut database.connect().await).await;
    assert_eq!(level, "READ COMMITTED");
    run(&mut other, "ROLLBACK").await;
    storing.await.unwrap();
}
