//! A deleted chat is gone with its messages, is no longer counted, and its number is not given again.

use anyhow::{Context as _, Result};
use chat_system::{
    client::Call,
    operations::Scene,
    problem::expect_not_found,
    race::{at_once, statuses},
    stage::{CHANGING, Stage, numbers},
};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn a_deleted_chat_is_gone_at_once_with_its_messages() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let other = stage.messages(&scene.application).await?;
    stage.create(&other, &json!({"body": "kept"})).await?;
    stage.delete(&scene.chat()).await?;
    for is_restarted in [false, true] {
        scene.expect_gone(&mut stage.client, "{chat}").await?;
        assert_eq!(stage.read(&format!("{other}/1")).await?["body"], "kept");
        let chats = stage.read(&scene.application.chats()).await?;
        assert_eq!(numbers(&chats), [2]);
        if !is_restarted {
            stage.crash().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_chat_is_counted_out_once() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..5 {
        stage.chat(&application).await?;
    }
    let (chats, path) = (application.chats(), &application.path);
    stage.expect_count(path, "chats_count", 5).await?;
    for number in [2, 5] {
        let chat = format!("{chats}/{number}");
        stage.delete(&chat).await?;
        for _ in 0..3 {
            expect_not_found(&stage.client.delete(&chat).await?)?;
        }
    }
    stage.expect_count(path, "chats_count", 3).await?;
    // A late second decrement would show in the count after the next create.
    stage.chat(&application).await?;
    stage.expect_count(path, "chats_count", 4).await
}

#[tokio::test]
async fn chats_deleted_right_after_their_creation_are_not_counted() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for number in 1..=50 {
        let chat = stage.chat(&application).await?;
        assert_eq!(chat, format!("{}/{number}", application.chats()));
        stage.delete(&chat).await?;
        expect_not_found(&stage.client.get(&chat).await?)?;
    }
    let page = stage.read(&application.chats()).await?;
    assert_eq!(page, json!({"items": [], "next": null}));
    stage.chat(&application).await?;
    let path = &application.path;
    stage.expect_count(path, "chats_count", 1).await?;
    assert_eq!(numbers(&stage.read(&application.chats()).await?), [51]);
    Ok(())
}

#[tokio::test]
async fn deleting_what_is_not_there_lowers_no_count() -> Result<()> {
    let mut stage = Stage::open().await?;
    let (application, other) = (stage.application().await?, stage.application().await?);
    for _ in 0..2 {
        stage.chat(&application).await?;
    }
    let (chats, path) = (application.chats(), &application.path);
    stage.expect_count(path, "chats_count", 2).await?;
    for chat in [
        format!("{chats}/3"),
        format!("{chats}/0"),
        format!("{chats}/01"),
        format!("{chats}/18446744073709551615"),
        format!("{}/1", other.chats()),
    ] {
        for _ in 0..3 {
            expect_not_found(&stage.client.delete(&chat).await?).context(chat.clone())?;
        }
        for way in &CHANGING {
            let call = Call::json(way.clone(), &chat, &json!({"title": "a"}))?;
            expect_not_found(&stage.client.send(&call).await?).context(chat.clone())?;
        }
    }
    // The failed deletes have not used up a number, either.
    assert_eq!(stage.chat(&application).await?, format!("{chats}/3"));
    assert_eq!(stage.chat(&other).await?, format!("{}/1", other.chats()));
    stage.expect_count(path, "chats_count", 3).await?;
    stage.expect_count(&other.path, "chats_count", 1).await
}

#[tokio::test]
async fn a_deleted_chats_number_is_never_given_again() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let chats = application.chats();
    for number in 1..=4 {
        let chat = stage.chat(&application).await?;
        assert_eq!(chat, format!("{chats}/{number}"));
        let messages = format!("{chat}/messages");
        stage.create(&messages, &json!({"body": "old"})).await?;
        stage.delete(&chat).await?;
        if number == 2 {
            stage.crash().await?;
        }
    }
    assert_eq!(numbers(&stage.read(&chats).await?), Vec::<u64>::new());
    Ok(())
}

#[tokio::test]
async fn of_twenty_deletes_at_once_one_deletes() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..6 {
        stage.chat(&application).await?;
    }
    let (chats, path) = (application.chats(), &application.path);
    stage.expect_count(path, "chats_count", 6).await?;
    for number in 1..=5 {
        let call = Call::try_new(Method::DELETE, &format!("{chats}/{number}"))?;
        let answers = at_once(&stage, vec![vec![call]; 20]).await?;
        assert_eq!(statuses(&answers), [(204, 1), (404, 19)].into());
        for answer in answers.iter().filter(|answer| answer.status == 404) {
            expect_not_found(answer)?;
        }
    }
    stage.expect_count(path, "chats_count", 1).await?;
    assert_eq!(numbers(&stage.read(&chats).await?), [6]);
    Ok(())
}

#[tokio::test]
async fn of_a_change_and_a_delete_at_once_the_delete_lasts() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    for _ in 0..10 {
        let chat = stage.chat(&application).await?;
        let change = Call::json(Method::PATCH, &chat, &json!({"title": "late"}))?;
        let write = Call::post(&format!("{chat}/messages"), &json!({"body": "late"}))?;
        let mut senders = vec![vec![change; 3]; 3];
        senders.extend(vec![vec![write; 3]; 3]);
        senders.push(vec![Call::try_new(Method::DELETE, &chat)?]);
        for answer in at_once(&stage, senders).await? {
            assert!(matches!(answer.status, 200 | 201 | 204 | 404), "{answer}");
        }
        expect_not_found(&stage.client.get(&chat).await?)?;
        expect_not_found(&stage.client.get(&format!("{chat}/messages")).await?)?;
    }
    let path = &application.path;
    stage.expect_count(path, "chats_count", 0).await?;
    assert_eq!(
        stage.read(&application.chats()).await?,
        json!({"items": [], "next": null})
    );
    Ok(())
}
