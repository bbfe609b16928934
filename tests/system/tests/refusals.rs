//! The order of faults: of all that is wrong with a request, the first is reported.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Answer, Call},
    operations::{OPERATIONS, Operation, Scene},
    problem::{expect_fault, expect_not_found, expect_problem},
    stage::Stage,
};
use hyper::Method;
use serde_json::json;

const KEY: &str = "open-sesame";

/// What can be wrong with a request, in the order of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Route,
    Method,
    Right,
    MediaType,
    Size,
    Json,
    Values,
    Reuse,
    Absence,
}

use Flaw::{Absence, Json, MediaType, Reuse, Right, Route, Size, Values};

impl Flaw {
    /// In the order in which they are judged.
    const ALL: [Self; 9] = [
        Route,
        Self::Method,
        Right,
        MediaType,
        Size,
        Json,
        Values,
        Reuse,
        Absence,
    ];

    /// Returns the status and code that answer a request whose first flaw is this.
    fn answer(self) -> (u16, &'static str) {
        match self {
            Route | Absence => (404, "not_found"),
            Self::Method => (405, "method_not_allowed"),
            Right => (401, "unauthorized"),
            MediaType => (415, "unsupported_media_type"),
            Size => (413, "too_large"),
            Json => (400, "malformed_json"),
            Values => (422, "invalid"),
            Reuse => (422, "idempotency_key_reused"),
        }
    }

    /// Tells whether a request of this operation can have this flaw.
    fn is_possible(self, operation: &Operation) -> bool {
        match self {
            Route | Self::Method => true,
            Right => operation.is_for_admins(),
            MediaType | Size | Json => operation.body.is_some(),
            Values => operation.body.is_some() || !operation.parameters.is_empty(),
            Reuse => operation.takes_key,
            Absence => operation.path.contains('{'),
        }
    }
}

/// A request that is right but for its flaws.
struct Flawed<'a> {
    operation: &'a Operation,
    scene: &'a Scene,
    flaws: &'a [Flaw],
}

impl Flawed<'_> {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaws.contains(&flaw)
    }

    fn call(&self) -> Result<Call> {
        let method = if self.has(Flaw::Method) {
            "PURGE"
        } else {
            self.operation.method
        };
        let mut path = self.scene.fill(self.operation.path);
        if self.has(Route) {
            path.push_str("/nothing/of/that/kind");
        }
        if self.has(Values) && !self.operation.parameters.is_empty() {
            path.push_str("?limit=0&cursor=made-up&after=-1");
        }
        let mut call = Call::try_new(method.parse()?, &path)?;
        if self.operation.body.is_some() {
            let content_type = if self.has(MediaType) {
                "text/plain"
            } else {
                "application/json"
            };
            call = call.with_body(content_type, self.body());
        }
        if self.operation.takes_key {
            call = call.with_key(if self.has(Reuse) { "used" } else { "fresh" })?;
        }
        if !self.has(Right) {
            call = call.with_header("authorization", format!("Bearer {KEY}"))?;
        }
        Ok(call)
    }

    fn body(&self) -> String {
        let names = self.operation.texts.iter().map(|text| text.name);
        let names: Vec<&str> = if names.len() == 0 {
            vec!["query"]
        } else {
            names.collect()
        };
        let value = if self.has(Values) { "5" } else { "\"other\"" };
        let fields = names.iter().map(|name| format!("\"{name}\": {value}"));
        let mut body = format!("{{{}", fields.collect::<Vec<String>>().join(", "));
        if !self.has(Json) {
            body.push('}');
        }
        if self.has(Size) {
            body.push_str(&" ".repeat(256 * 1_024));
        }
        body
    }

    fn expect(&self, answer: &Answer) -> Result<()> {
        let first = self.flaws.first().context("there is no flaw")?;
        let (status, code) = first.answer();
        expect_problem(answer, status, code)
            .with_context(|| format!("{} with {:?}", self.operation, self.flaws))?;
        Ok(())
    }
}

/// Returns all non-empty combinations of the flaws that a request of the operation can have.
fn combinations(operation: &Operation) -> Vec<Vec<Flaw>> {
    let possible = Flaw::ALL.iter().filter(|flaw| flaw.is_possible(operation));
    let mut combinations = vec![Vec::new()];
    for flaw in possible {
        let with: Vec<Vec<Flaw>> = combinations
            .iter()
            .map(|before: &Vec<Flaw>| [before.as_slice(), &[*flaw]].concat())
            .collect();
        combinations.extend(with);
    }
    combinations.retain(|flaws| !flaws.is_empty());
    combinations
}

/// Returns scenes in which the last thing that the operation's path names does not exist.
fn absences(operation: &Operation, scene: &Scene, other: &Scene) -> Vec<Scene> {
    let with_message = |number: &str| Scene {
        message: number.to_owned(),
        ..scene.clone()
    };
    let with_chat = |number: &str| Scene {
        chat: number.to_owned(),
        ..scene.clone()
    };
    if operation.path.contains("{message}") {
        // The other application has no such message.
        let others = Scene {
            message: "2".to_owned(),
            ..other.clone()
        };
        return vec![
            with_message("7"),
            with_message("01"),
            with_chat("7"),
            others,
        ];
    }
    if operation.path.contains("{chat}") {
        return ["7", "0", "abc", "18446744073709551616"]
            .map(with_chat)
            .into();
    }
    let mut nobody = scene.clone();
    nobody.application.token = "A".repeat(32);
    let mut short = scene.clone();
    "1".clone_into(&mut short.application.token);
    vec![nobody, short]
}

/// Tries every combination of flaws of every operation that is wanted.
async fn expect_order(wanted: impl Fn(&Operation) -> bool) -> Result<()> {
    let mut stage = Stage::open_with(&[("CHAT_ADMIN_KEY", KEY)]).await?;
    let (scene, other) = (Scene::set(&mut stage).await?, Scene::set(&mut stage).await?);
    stage
        .create(&scene.messages(), &json!({"body": "second"}))
        .await?;
    let used = Call::post(&scene.messages(), &json!({"body": "first use"}))?.with_key("used")?;
    stage.client.send(&used).await?.expect(201)?;
    stage
        .expect_count(&scene.chat(), "messages_count", 3)
        .await?;
    let paths = [
        scene.application.path.clone(),
        scene.chat(),
        scene.message(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(stage.read(path).await?);
    }
    let mut tried = 0;
    for operation in OPERATIONS.iter().filter(|operation| wanted(operation)) {
        for flaws in combinations(operation) {
            let scenes = if flaws.contains(&Absence) {
                absences(operation, &scene, &other)
            } else {
                vec![scene.clone()]
            };
            for scene in &scenes {
                // A key is known only within its application; chats under invalid numbers are tested below.
                let is_known = operation.path.contains("{chat}") && scene.chat == "7";
                if flaws.contains(&Reuse) && flaws.contains(&Absence) && !is_known {
                    continue;
                }
                let flawed = Flawed {
                    operation,
                    scene,
                    flaws: &flaws,
                };
                let call = flawed.call()?;
                let answer = stage.client.send(&call).await?;
                flawed.expect(&answer).with_context(|| call.to_string())?;
                tried += 1;
            }
        }
    }
    ensure!(tried > 10, "{tried} requests are no test");
    // Nothing was done, and no number drawn.
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(stage.read(path).await?, *before);
    }
    assert_eq!(
        stage
            .create(&scene.messages(), &json!({"body": "a"}))
            .await?["number"],
        4
    );
    let chat = stage.chat(&scene.application).await?;
    assert_eq!(chat, format!("{}/2", scene.application.chats()));
    Ok(())
}

#[tokio::test]
async fn of_all_that_is_wrong_with_a_create_the_first_is_told() -> Result<()> {
    expect_order(|operation| operation.method == "POST" && operation.body.is_some()).await
}

#[tokio::test]
async fn of_all_that_is_wrong_with_a_change_the_first_is_told() -> Result<()> {
    expect_order(|operation| ["PATCH", "PUT", "DELETE"].contains(&operation.method)).await
}

#[tokio::test]
async fn of_all_that_is_wrong_with_a_read_the_first_is_told() -> Result<()> {
    expect_order(|operation| operation.method == "GET").await
}

#[tokio::test]
async fn of_all_that_is_wrong_with_an_operators_request_the_first_is_told() -> Result<()> {
    expect_order(Operation::is_for_admins).await
}

#[tokio::test]
async fn a_wrong_key_is_told_with_the_fields_and_behind_the_json() -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let nowhere = format!("/api/v1/applications/{}/chats/1/messages", "A".repeat(32));
    for path in [scene.messages(), scene.application.chats(), nowhere] {
        let bare = Call::try_new(Method::POST, &path)?.with_key("two words")?;
        let with = |body: &'static str| bare.clone().with_body("application/json", body);
        let right = if path.ends_with("chats") {
            "{}"
        } else {
            r#"{"body": "a"}"#
        };
        let both = stage.client.send(&with(r#"{"unknown": 5}"#)).await?;
        expect_fault(&both, "unknown").context(path.clone())?;
        expect_fault(&both, "idempotency-key")?;
        let alone = stage.client.send(&with(right)).await?;
        expect_fault(&alone, "idempotency-key").context(path.clone())?;
        let malformed = stage.client.send(&with("{")).await?;
        expect_problem(&malformed, 400, "malformed_json").context(path.clone())?;
        let text = bare.clone().with_body("text/plain", right);
        let answer = stage.client.send(&text).await?;
        expect_problem(&answer, 415, "unsupported_media_type").context(path)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_used_key_is_told_before_a_chat_that_is_not_there() -> Result<()> {
    expect_reuse_before_absence(&["2", "7", "9223372036854775807"]).await
}

#[tokio::test]
async fn a_used_key_is_told_before_a_number_that_is_none() -> Result<()> {
    expect_reuse_before_absence(&[
        "0",
        "01",
        "-1",
        "abc",
        "18446744073709551615",
        "18446744073709551616",
    ])
    .await
}

/// Uses a key for one chat, and then for others of its application that do not exist.
async fn expect_reuse_before_absence(others: &[&'static str]) -> Result<()> {
    let mut stage = Stage::open().await?;
    let scene = Scene::set(&mut stage).await?;
    let (chats, body) = (scene.application.chats(), json!({"body": "a"}));
    let deleted = stage.chat(&scene.application).await?;
    stage.delete(&deleted).await?;
    let used = Call::post(&scene.messages(), &body)?.with_key("used")?;
    stage.client.send(&used).await?.expect(201)?;
    for chat in others {
        let call = Call::post(&format!("{chats}/{chat}/messages"), &body)?;
        let fresh = stage.client.send(&call.clone().with_key("fresh")?).await?;
        expect_not_found(&fresh).context(*chat)?;
        let answer = stage.client.send(&call.with_key("used")?).await?;
        expect_problem(&answer, 422, "idempotency_key_reused").context(*chat)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_application_that_asks_too_often_is_refused_alone() -> Result<()> {
    const CREATES: usize = 300;
    let mut stage = Stage::open_with(&[("CHAT_RATE_LIMIT", "20")]).await?;
    let application = stage.application().await?;
    let (eager, other) = (
        stage.messages(&application).await?,
        stage.application().await?,
    );
    let mut created = Vec::new();
    let mut refused = 0;
    for _ in 0..CREATES {
        let answer = stage.client.post(&eager, &json!({"body": "a"})).await?;
        if answer.status == 201 {
            created.push(answer.expect(201)?["number"].clone());
        } else {
            expect_problem(&answer, 429, "too_many_requests")?;
            let seconds = answer.header("retry-after");
            ensure!(seconds == Some("1"), "{answer}");
            refused += 1;
        }
    }
    ensure!(created.len() >= 20 - 2 && refused > 0, "{refused} refused");
    let numbers = 1..=created.len();
    assert_eq!(json!(created), json!(numbers.collect::<Vec<_>>()));
    stage.read(&other.path).await?;
    let later = Call::post(&eager, &json!({"body": "b"}))?.with_key("later")?;
    let patience = Duration::from_secs(30);
    let answer = stage.client.send_until_answered(&later, patience).await?;
    assert_eq!(answer.expect(201)?["number"], created.len() + 1);
    Ok(())
}
