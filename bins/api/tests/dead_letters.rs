//! Dead letters over HTTP: what an operator is told, and can do.

use std::sync::Arc;

use chat_api::{Dependencies, build, metrics::Metrics};
use chat_core::{
    memory::Memory,
    model::{
        ApplicationName, ApplicationToken, ChatKey, Content, DeadLetter, DeadLetterId,
        DeadLetterReason, Draft, Epoch, MessageBody, MessageKey, Number, Timestamp, Uid,
    },
    ports::Ports,
    service::{Policy, Services},
};
use chat_runtime::{metrics::registry, settings::Admin};
use poem::{Endpoint, Request, Response, http::Method};
use serde_json::{Value, json};

const LETTERS: &str = "/api/v1/admin/dead-letters";

/// A system whose first application has a chat.
struct Stage {
    ports: Ports,
    token: ApplicationToken,
    chat: ChatKey,
}

impl Stage {
    async fn new() -> (Self, impl Endpoint<Output = Response>) {
        let ports = Memory::new().ports();
        let services = Services::new(&ports, &Policy::default());
        let name = ApplicationName::parse("letters").expect("a name");
        let application = services.applications.create(name).await;
        let token = application.expect("an application").token;
        let chat = services.chats.create(&token, None, None).await;
        let chat = chat.expect("a chat").item.key;
        let api = build(Dependencies {
            services,
            ports: ports.clone(),
            admin: Admin::Open,
            rate_limit: None,
            metrics: Arc::new(Metrics::new(registry())),
        });
        (Self { ports, token, chat }, api)
    }

    /// Sets a message aside that was given number 7.
    async fn set_aside(&self) -> DeadLetterId {
        self.set_aside_for(DeadLetterReason::Refused).await
    }

    async fn set_aside_for(&self, reason: DeadLetterReason) -> DeadLetterId {
        let uid = Uid::new(1);
        let draft = Draft {
            uid,
            created_at: Timestamp::from_micros(1),
            content: Content::Message {
                chat: self.chat,
                sender: None,
                body: MessageBody::parse("lost?").expect("a body"),
            },
        };
        let letter = DeadLetter {
            id: DeadLetterId::of_creation(uid),
            reason,
            detail: "the driver's own words".to_owned(),
            number: Number::try_new(7).ok(),
            epoch: Epoch::default(),
            payload: draft.encode(),
            first_failed_at: Timestamp::from_micros(1),
            last_failed_at: Timestamp::from_micros(2),
        };
        let adding = self.ports.repository.add_dead_letter(&letter);
        adding.await.expect("memory takes it");
        letter.id
    }
}

async fn send(api: &impl Endpoint<Output = Response>, method: Method, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri_str(path).finish();
    let response = api.get_response(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().into_string().await;
    (status, body.expect("a body can be read"))
}

async fn listed(api: &impl Endpoint<Output = Response>) -> Vec<Value> {
    let (status, body) = send(api, Method::GET, LETTERS).await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains("driver"), "{body}");
    let page: Value = serde_json::from_str(&body).expect("a page");
    page["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn a_letter_tells_whose_it_is_and_what_it_holds() {
    let (stage, api) = Stage::new().await;
    let id = stage.set_aside().await;
    let letters = listed(&api).await;
    let wanted = json!({
        "id": id.as_str(),
        "reason": "refused",
        "detail": "the repository refuses it even if it is stored alone; the log has the cause",
        "kind": "message",
        "application_token": stage.token.as_str(),
        "chat_number": 1,
        "message_number": 7,
        "title": null,
        "sender": null,
        "body": "lost?",
        "unreadable": null,
        "first_failed_at": "1970-01-01T00:00:00.000001Z",
        "last_failed_at": "1970-01-01T00:00:00.000002Z",
    });
    assert_eq!(letters, [wanted]);
}

#[tokio::test]
async fn a_letter_about_the_index_names_its_message_and_no_row() {
    let (stage, api) = Stage::new().await;
    let key = MessageKey {
        application: stage.chat.application,
        chat: stage.chat.chat,
        message: Number::FIRST.into(),
    };
    let at = Timestamp::from_micros(1);
    let letter = DeadLetter::of_message(key, "the driver's own words".to_owned(), at);
    stage
        .ports
        .repository
        .add_dead_letter(&letter)
        .await
        .unwrap();
    let letters = listed(&api).await;
    let told = &letters[0];
    assert_eq!(told["reason"], "not_indexable");
    assert_eq!(told["application_token"], stage.token.as_str());
    assert_eq!(
        (&told["chat_number"], &told["message_number"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(told["unreadable"], Value::Null);
}

#[tokio::test]
async fn what_is_too_old_is_replayed_by_force_alone() {
    let (stage, api) = Stage::new().await;
    let id = stage.set_aside_for(DeadLetterReason::TooOld).await;
    let replay = format!("{LETTERS}/{}/replay", id.as_str());
    let (status, body) = send(&api, Method::POST, &replay).await;
    assert_eq!(status, 422, "{body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&problem["code"], &problem["errors"][0]["field"]),
        (&json!("invalid"), &json!("force"))
    );
    assert_eq!(listed(&api).await.len(), 1);
    let forced = format!("{replay}?force=true");
    assert_eq!(send(&api, Method::POST, &forced).await.0, 202);
    assert!(listed(&api).await.is_empty());
}

#[tokio::test]
async fn a_letter_is_replayed_or_given_up_once() {
    let (stage, api) = Stage::new().await;
    let id = stage.set_aside().await;
    let letter = format!("{LETTERS}/{}", id.as_str());
    let replay = format!("{letter}/replay");
    assert_eq!(
        send(&api, Method::POST, &replay).await,
        (202, String::new())
    );
    assert!(listed(&api).await.is_empty());
    assert_eq!(send(&api, Method::POST, &replay).await.0, 404);

    stage.set_aside().await;
    assert_eq!(
        send(&api, Method::DELETE, &letter).await,
        (204, String::new())
    );
    assert!(listed(&api).await.is_empty());
    assert_eq!(send(&api, Method::DELETE, &letter).await.0, 404);
}
