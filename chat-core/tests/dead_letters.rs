//! Dead letters as their operator sees them.

use chat_core::{
    memory::Memory,
    model::{
        ApplicationName, Content, Creation, DeadLetter, DeadLetterId, DeadLetterReason, Draft,
        Epoch, Limit, Number, Timestamp, Uid,
    },
    ports::Ports,
    service::{Policy, Services},
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
