//! Dead letters.

use std::time::Duration;

use crate::{
    contract::{
        Scene,
        scene::{message, number},
    },
    model::{ApplicationId, ChatKey, DeadLetter, DeadLetterId, DeadLetterReason, Timestamp},
    ports::Ports,
};

/// Adding the same letter again keeps its first failure and updates its last.
pub async fn dead_letter_is_kept_once(ports: Ports) {
    let scene = Scene::new(ports);
    let first = letter(&scene, 1);
    scene.repository().add_dead_letter(&first).await.unwrap();
    let later = DeadLetter {
        detail: "once more".to_owned(),
        first_failed_at: first.first_failed_at.plus(Duration::from_mins(1)),
        last_failed_at: first.last_failed_at.plus(Duration::from_mins(1)),
        ..first.clone()
    };
    scene.repository().add_dead_letter(&later).await.unwrap();
    let kept = scene.repository().dead_letters(None, 10).await.unwrap();
    let expected = DeadLetter {
        first_failed_at: first.first_failed_at,
        ..later
    };
    assert_eq!(kept, std::slice::from_ref(&expected));
    assert_eq!(
        scene.repository().dead_letter(&expected.id).await.unwrap(),
        Some(expected)
    );
}

/// Removing a letter answers it once; then it is unknown.
pub async fn removed_letter_is_gone(ports: Ports) {
    let scene = Scene::new(ports);
    let letter = letter(&scene, 1);
    let repository = scene.repository();
    repository.add_dead_letter(&letter).await.unwrap();
    let remove = || repository.remove_dead_letter(&letter.id, Timestamp::MAX);
    let removed = remove().await.unwrap();
    assert_eq!(removed.as_ref(), Some(&letter));
    assert_eq!(letter.creation().unwrap().number, number(1));
    assert_eq!(remove().await.unwrap(), None);
    assert_eq!(repository.dead_letter(&letter.id).await.unwrap(), None);
}

/// Only a caller who has seen a letter's last failure removes it.
pub async fn letter_that_failed_again_stays(ports: Ports) {
    let scene = Scene::new(ports);
    let repository = scene.repository();
    let letter = letter(&scene, 1);
    repository.add_dead_letter(&letter).await.unwrap();
    let seen = letter.last_failed_at;
    let again = DeadLetter {
        last_failed_at: seen.plus(Duration::from_millis(1)),
        ..letter
    };
    repository.add_dead_letter(&again).await.unwrap();
    let removed = repository.remove_dead_letter(&again.id, seen);
    assert_eq!(removed.await.unwrap(), None);
    let kept = repository.dead_letter(&again.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&again));
    let removed = repository.remove_dead_letter(&again.id, again.last_failed_at);
    assert_eq!(removed.await.unwrap(), Some(again.clone()));

    // Neither does a caller who saw an earlier failure, if the last one was noted by a clock that is behind.
    repository.add_dead_letter(&again).await.unwrap();
    let behind = DeadLetter {
        last_failed_at: seen.minus(Duration::from_mins(1)),
        ..again.clone()
    };
    repository.add_dead_letter(&behind).await.unwrap();
    let removed = repository.remove_dead_letter(&again.id, again.last_failed_at);
    assert_eq!(removed.await.unwrap(), None);
}

/// Letters are listed by id, after a given one.
pub async fn letters_are_paged(ports: Ports) {
    let scene = Scene::new(ports);
    let mut letters: Vec<_> = (1..=7).map(|of| letter(&scene, of)).collect();
    for letter in &letters {
        scene.repository().add_dead_letter(letter).await.unwrap();
    }
    letters.sort_by(|one, other| one.id.cmp(&other.id));
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|letter: &DeadLetter| letter.id.clone());
        let page = scene.repository().dead_letters(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, letters);
}

fn letter(scene: &Scene, of: u64) -> DeadLetter {
    let chat = ChatKey {
        application: ApplicationId::new(1),
        chat: number(1).into(),
    };
    let creation = scene.creation(message(chat, "refused"), of);
    DeadLetter {
        id: DeadLetterId::of_creation(creation.draft.uid),
        reason: DeadLetterReason::Refused,
        detail: "the law says so".to_owned(),
        number: Some(creation.number),
        epoch: creation.epoch,
        payload: creation.draft.encode(),
        first_failed_at: scene.now(),
        last_failed_at: scene.now(),
    }
}
