//! Dead letters as their operator sees them.

use chat_core::{
    memory::Memory,
    model::{
        ApplicationId, ApplicationName, Content, Creation, DeadLetter, DeadLetterId,
        DeadLetterReason, Draft, Epoch, EpochMark, Incarnation, Limit, Number, Position, Sequence,
        Shard, Sighting, Timestamp, Uid,
    },
    ports::Ports,
    service::{Policy, ReplayError, Services},
};

fn letter(uid: u128, payload: Vec<u8>) -> DeadLetter {
    let at = Timestamp::from_micros(1);
    DeadLetter {
        id: DeadLetterId::of_creation(Uid::new(uid)),
        reason: DeadLetterReason::Refused,
        detail: "a driver's words".to_owned(),
        number: Some(Number::FIRST),
        epoch: Epoch::FIRST,
        payload,
        first_failed_at: at,
        last_failed_at: at,
    }
}

async fn with_letters(letters: &[DeadLetter]) -> (Ports, Services) {
    let ports = Memory::new().ports();
    let services = Services::new(&ports, &Policy::default());
    for letter in letters {
        let adding = ports.repository.add_dead_letter(letter);
        adding.await.expect("memory takes it");
    }
    (ports, services)
}

#[tokio::test]
async fn letters_are_listed_with_what_they_hold_and_whose_it_is() {
    let (ports, services) = with_letters(&[letter(2, b"garbage".to_vec())]).await;
    let name = ApplicationName::parse("letters").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    let application = ports
        .repository
        .application_id(&token)
        .await
        .unwrap()
        .unwrap();
    let content = Content::Chat {
        application,
        title: None,
    };
    let draft = Draft {
        uid: Uid::new(1),
        created_at: Timestamp::from_micros(1),
        content,
    };
    let readable = letter(1, draft.encode());
    ports.repository.add_dead_letter(&readable).await.unwrap();

    let listed = |after| {
        services
            .dead_letters
            .list(after, Limit::try_new(1).unwrap())
    };
    let first = listed(None).await.unwrap();
    let creation = Creation {
        number: Number::FIRST,
        epoch: Epoch::FIRST,
        draft,
    };
    assert_eq!(first.items[0].creation, Some(creation));
    assert_eq!(first.items[0].token, Some(token.clone()));
    let second = listed(first.next).await.unwrap();
    assert_eq!(second.items[0].letter.payload, b"garbage");
    assert_eq!(
        (&second.items[0].creation, &second.items[0].token),
        (&None, &None)
    );
    assert_eq!(second.next, None);

    services.applications.delete(&token).await.unwrap();
    let orphaned = listed(None).await.unwrap();
    assert_eq!(orphaned.items[0].token, None);
}

/// A counter that may have been replaced must not get room for more numbers.
#[tokio::test]
async fn a_letter_stays_while_the_counter_is_behind() {
    let (ports, services) = with_letters(&[]).await;
    let name = ApplicationName::parse("letters").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    let chat = services.chats.create(&token, None, None).await.unwrap();
    let chats = Sequence::Chats(chat.item.key.application);
    let number = Number::from(chat.item.key.chat);
    let pending = || async { ports.counter.pending(&chats, number).await.unwrap() };
    let creation = pending().await.unwrap();
    let uid = u128::from_be_bytes(creation.draft.uid.to_bytes());
    let letter = letter(uid, creation.draft.encode());
    let id = letter.id.clone();
    ports.repository.add_dead_letter(&letter).await.unwrap();
    let elsewhere = Sighting {
        shard: Shard::ONLY,
        address: "elsewhere".to_owned(),
        incarnation: Incarnation("another".to_owned()),
        mark: EpochMark::Installed(creation.epoch),
        complete: false,
        position: Position::default(),
    };
    let read = ports.repository.shard(Shard::ONLY).await.unwrap();
    let admitted = ports.repository.admit(&elsewhere, read).await.unwrap();
    assert!(admitted.is_some_and(|admission| admission.epoch > creation.epoch));

    assert!(services.dead_letters.drop_letter(&id).await.is_err());
    assert_eq!(pending().await, Some(creation));
    let kept = ports.repository.dead_letter(&id).await.unwrap();
    assert_eq!(kept.map(|letter| letter.id), Some(id));
}

/// What cannot succeed is refused, and the letter stays.
#[tokio::test]
async fn what_would_only_come_back_is_not_put_back_to_work() {
    let garbage = letter(1, b"garbage".to_vec());
    let content = Content::Chat {
        application: ApplicationId::new(1),
        title: None,
    };
    let draft = Draft {
        uid: Uid::new(2),
        created_at: Timestamp::from_micros(1),
        content,
    };
    let old = DeadLetter {
        reason: DeadLetterReason::TooOld,
        ..letter(2, draft.encode())
    };
    let (ports, services) = with_letters(&[garbage.clone(), old.clone()]).await;
    let replay = |letter: &DeadLetter, force| {
        let (letters, id) = (services.dead_letters.clone(), letter.id.clone());
        async move { letters.replay(&id, force).await }
    };
    let refused = replay(&garbage, true).await;
    assert!(
        matches!(refused, Err(ReplayError::Unreadable)),
        "{refused:?}"
    );
    let refused = replay(&old, false).await;
    assert!(
        matches!(refused, Err(ReplayError::NeedsForce)),
        "{refused:?}"
    );
    let kept = ports.repository.dead_letters(None, 9).await.unwrap();
    assert_eq!(kept, [garbage.clone(), old.clone()]);
    replay(&old, true).await.unwrap();
    let kept = ports.repository.dead_letters(None, 9).await.unwrap();
    assert_eq!(kept, [garbage]);
}
