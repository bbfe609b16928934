//! Repeating a create with its idempotency key answers the chat as it was created.

use std::collections::BTreeSet;

use anyhow::Result;
use chat_system::{
    client::Call,
    problem::expect_problem,
    race::at_once,
    stage::{Stage, numbers},
};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn a_key_makes_one_chat_of_many_requests() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let call = Call::try_new(Method::POST, &application.chats())?.with_key("once")?;
    let (mut bodies, mut fresh) = (BTreeSet::new(), 0);
    for answer in at_once(&stage, vec![vec![call]; 20]).await? {
        bodies.insert(answer.expect(201)?.to_string());
        match answer.header("idempotency-replayed") {
            Some(replayed) => assert_eq!(replayed, "true"),
            None => fresh += 1,
        }
    }
    assert_eq!((bodies.len(), fresh), (1, 1));
    let titled = Call::post(&application.chats(), &json!({"title": "b"}))?.with_key("once")?;
    let answer = stage.client.send(&titled).await?;
    expect_problem(&answer, 422, "idempotency_key_reused")?;
    assert_eq!(
        stage.create(&application.chats(), &json!({})).await?["number"],
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_key_answers_the_chat_as_it_was_created_whatever_became_of_it() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let (chats, chat) = (application.chats(), format!("{}/1", application.chats()));
    let call = Call::post(&chats, &json!({"title": "first"}))?.with_key("once")?;
    let first = stage.client.send(&call).await?;
    let created = first.expect(201)?;
    for became in ["kept", "written into", "changed", "deleted", "restarted"] {
        match became {
            "written into" => {
                let messages = format!("{chat}/messages");
                stage.create(&messages, &json!({"body": "a"})).await?;
                stage.expect_count(&chat, "messages_count", 1).await?;
            }
            "changed" => {
                let title = json!({"title": "second"});
                stage.change(&Method::PATCH, &chat, &title).await?;
            }
            "deleted" => stage.delete(&chat).await?,
            "restarted" => {
                stage.crash().await?;
            }
            _ => {}
        }
        let again = stage.client.send(&call).await?;
        assert_eq!(again.expect(201)?, created, "{became}");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.header("location"), Some(chat.as_str()));
        let other = Call::post(&chats, &json!({"title": "second"}))?.with_key("once")?;
        let answer = stage.client.send(&other).await?;
        expect_problem(&answer, 422, "idempotency_key_reused")?;
    }
    assert_eq!(numbers(&stage.read(&chats).await?), Vec::<u64>::new());
    assert_eq!(stage.create(&chats, &json!({})).await?["number"], 2);
    Ok(())
}

#[tokio::test]
async fn what_says_the_same_in_other_letters_is_the_same_request() -> Result<()> {
    let mut stage = Stage::open().await?;
    let application = stage.application().await?;
    let bare = Call::try_new(Method::POST, &application.chats())?.with_key("once")?;
    let first = stage.client.send(&bare).await?.expect(201)?;
    for body in ["", "{}", " {\n} ", r#"{"title": null}"#] {
        let call = bare.clone().with_body("application/json", body);
        let again = stage.client.send(&call).await?;
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{body}");
        assert_eq!(again.expect(201)?, first);
    }
    Ok(())
}
