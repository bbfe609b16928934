//! Applications, and reading what is stored.

use crate::{
    contract::{
        Scene,
        scene::{message, message_key, name, number},
    },
    model::{
        ApplicationId, Content, Creation, MessageBody, NewApplication, NumberRange, Order, Sender,
    },
    ports::{AddApplication, Deletion, Lookup, Parent, Ports},
};

/// A token or id that exists is an outcome, not an error, and changes nothing.
pub async fn taken_token_is_answered(ports: Ports) {
    let scene = Scene::new(ports);
    let first = scene.application().await;
    let again = NewApplication {
        id: ApplicationId::new(first.id.get() + 1),
        token: first.token.clone(),
        name: name("a thief"),
        created_at: scene.now(),
    };
    let in_place = NewApplication {
        id: first.id,
        token: scene.ports.tokens.application_token(),
        ..again.clone()
    };
    for new in [&again, &in_place] {
        let answer = scene.repository().add_application(new).await.unwrap();
        assert_eq!(answer, AddApplication::Taken);
    }
    let kept = scene.repository().application(first.id).await.unwrap();
    assert_eq!(kept, Lookup::Found(first.clone()));
    // The token of a deleted application is not free either.
    scene
        .repository()
        .delete_application(first.id, scene.now())
        .await
        .unwrap();
    let answer = scene.repository().add_application(&again).await.unwrap();
    assert_eq!(answer, AddApplication::Taken);
}

/// Applications are listed by id, whatever the order that they were added in.
pub async fn applications_are_listed_by_id(ports: Ports) {
    let scene = Scene::new(ports);
    let mut added = Vec::new();
    for _ in 0..5 {
        added.push(scene.application().await);
    }
    added.sort_by_key(|application| application.id);
    let repository = scene.repository();
    assert_eq!(repository.applications(None, 3).await.unwrap(), added[..3]);
    assert_eq!(
        repository.applications(Some(added[2].id), 9).await.unwrap(),
        added[3..]
    );
    repository
        .delete_application(added[1].id, scene.now())
        .await
        .unwrap();
    let listed = repository.applications(None, 2).await.unwrap();
    assert_eq!(listed, [added[0].clone(), added[2].clone()]);
}

/// A deleted application's token still leads to its id, and the id to [`Lookup::Gone`].
pub async fn deleted_application_keeps_its_id(ports: Ports) {
    let scene = Scene::new(ports);
    let application = scene.application().await;
    let repository = scene.repository();
    let deletion = repository
        .delete_application(application.id, scene.now())
        .await
        .unwrap();
    assert_eq!(deletion, Deletion::Deleted);
    let id = repository.application_id(&application.token).await.unwrap();
    assert_eq!(id, Some(application.id));
    assert_eq!(
        repository.application(application.id).await.unwrap(),
        Lookup::Gone
    );
    let new = name("too late");
    let renamed = repository
        .rename_application(application.id, &new, scene.now())
        .await;
    assert_eq!(renamed.unwrap(), Lookup::Gone);
    let unknown = scene.ports.tokens.application_token();
    assert_eq!(repository.application_id(&unknown).await.unwrap(), None);
}

/// What was stored is found by key, by range in both orders and in lists across the system, byte
/// for byte.
pub async fn stored_is_found(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    let bodies = [
        "plain".to_owned(),
        " white\tspace\r\nkept ".to_owned(),
        "\u{1F469}\u{200D}\u{1F680} e\u{301} \u{202E}rtl \u{FFFD} \u{10FFFF}".to_owned(),
        "'; DROP TABLE messages; -- %s \\ \" \u{1} \u{7f}".to_owned(),
        "x".repeat(MessageBody::MAX),
    ];
    let mut creations = Vec::new();
    for (of, text) in (1..).zip(&bodies) {
        let mut creation = scene.creation(message(chat, text), of);
        if of == 2
            && let Content::Message { sender, .. } = &mut creation.draft.content
        {
            *sender = None;
        } else if of == 3
            && let Content::Message { sender, .. } = &mut creation.draft.content
        {
            *sender = Sender::parse("\u{1F916} bot").ok();
        }
        creations.push(creation);
    }
    scene.store(&creations).await;
    let expected: Vec<_> = creations.iter().filter_map(Creation::as_message).collect();
    let repository = scene.repository();
    for message in &expected {
        assert_eq!(
            repository
                .message(message.key)
                .await
                .unwrap()
                .found()
                .as_ref(),
            Some(message)
        );
    }
    let all = NumberRange::all();
    let listed = repository.messages(chat, &all, 99, &[]).await.unwrap();
    assert_eq!((listed.parent, &listed.rows), (Parent::Live, &expected));
    let backwards = NumberRange::new(None, None, Order::Descending);
    let mut rows = repository
        .messages(chat, &backwards, 99, &[])
        .await
        .unwrap()
        .rows;
    rows.reverse();
    assert_eq!(rows, expected);
    let everywhere = repository.all_messages(None, 99).await.unwrap();
    assert_eq!(
        everywhere.iter().map(|it| &it.item).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );

    let found = repository.chat(chat).await.unwrap().found().unwrap();
    assert_eq!(
        repository
            .chats(chat.application, &all, 9, &[])
            .await
            .unwrap()
            .rows,
        std::slice::from_ref(&found)
    );
    assert_eq!(repository.all_chats(None, 9).await.unwrap()[0].item, found);
}

/// A slice holds only rows of its range, the first `limit` of them, in order.
pub async fn range_and_limit_hold(ports: Ports) {
    use Order::{Ascending, Descending};
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    scene.stored_messages(chat, &[1, 2, 3, 5, 8, 9]).await;
    let read = async |after, before, order, limit| {
        let range = NumberRange::new(after, before, order);
        let slice = scene
            .repository()
            .messages(chat, &range, limit, &[])
            .await
            .unwrap();
        slice
            .rows
            .iter()
            .map(|message| message.key.message.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(None, None, Ascending, 2).await, [1, 2]);
    assert_eq!(read(None, None, Descending, 2).await, [9, 8]);
    assert_eq!(read(Some(2), Some(9), Ascending, 9).await, [3, 5, 8]);
    assert_eq!(read(Some(2), Some(9), Descending, 2).await, [8, 5]);
    assert_eq!(read(Some(9), None, Ascending, 9).await, [0_u64; 0]);
    assert_eq!(read(Some(u64::MAX), None, Ascending, 9).await, [0_u64; 0]);
    assert_eq!(read(Some(5), Some(3), Descending, 9).await, [0_u64; 0]);
}

/// A slice tells which of the numbers asked for have a row, tombstones included.
pub async fn slice_judges_the_asked_numbers(ports: Ports) {
    let scene = Scene::new(ports);
    let chat = scene.stored_chat().await;
    scene.stored_messages(chat, &[1, 2, 3]).await;
    let key = message_key(chat, 2);
    scene
        .repository()
        .delete_message(key, scene.now(), None)
        .await
        .unwrap();
    let asked: Vec<_> = [1, 2, 4].map(number).to_vec();
    let nothing = NumberRange::all().up_to(0);
    let slice = scene
        .repository()
        .messages(chat, &nothing, 9, &asked)
        .await
        .unwrap();
    assert!(slice.rows.is_empty());
    let known: Vec<_> = slice
        .known
        .iter()
        .map(|(number, item)| (number.get(), item.is_some()))
        .collect();
    assert_eq!(known, [(1, true), (2, false)]);

    let gone = scene.stored_chat_of(chat.application, 2).await;
    scene
        .repository()
        .delete_chat(gone, scene.now(), None)
        .await
        .unwrap();
    let slice = scene
        .repository()
        .chats(chat.application, &nothing, 9, &asked)
        .await
        .unwrap();
    let known: Vec<_> = slice
        .known
        .iter()
        .map(|(number, item)| (number.get(), item.is_some()))
        .collect();
    assert_eq!(known, [(1, true), (2, false)]);
}
