//! Input that nobody should send: it is answered as the contract says, reveals no internals, uses up
//! no number, and harms nobody.

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::{Answer, Call},
    operations::{OPERATIONS, Operation, Presence, Scene, Text},
    problem::{expect_discretion, expect_fault, expect_problem},
    stage::{Stage, numbers},
    wire::Wire,
};
use serde_json::{Value, json};

mod bodies;
mod connections;
mod headers;
mod parameters;
mod paths;
mod sizes;
mod strings;
mod texts;

/// How a request must be answered by the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is served.
    Served,
    /// There is no such thing or route.
    NotFound,
    /// The body is not announced as JSON.
    Unsupported,
    /// It has too many bytes.
    TooLarge,
    /// It is no JSON.
    Malformed,
    /// The body as a whole has the wrong shape.
    Invalid,
    /// A field, parameter or header of this name is at fault.
    Fault(&'static str),
}

use Verdict::{Fault, Invalid, Malformed, NotFound, Served, TooLarge, Unsupported};

impl Verdict {
    fn expect(self, operation: &Operation, answer: &Answer) -> Result<()> {
        match self {
            Served => answer.expect_status(operation.status)?,
            NotFound => drop(expect_problem(answer, 404, "not_found")?),
            Unsupported => drop(expect_problem(answer, 415, "unsupported_media_type")?),
            TooLarge => drop(expect_problem(answer, 413, "too_large")?),
            Malformed => drop(expect_problem(answer, 400, "malformed_json")?),
            Invalid => drop(expect_problem(answer, 422, "invalid")?),
            Fault(field) => expect_fault(answer, field)?,
        }
        Ok(())
    }
}

/// A system with a scene that is attacked, and another application that should not notice.
struct Target {
    stage: Stage,
    scene: Scene,
    bystander: Scene,
    /// What the bystander's things looked like in the beginning.
    before: Vec<Value>,
    /// How many chats and messages the scene should have by now.
    chats: u64,
    messages: u64,
}

impl Target {
    async fn open() -> Result<Self> {
        let mut stage = Stage::open().await?;
        let scene = Scene::set(&mut stage).await?;
        let bystander = Scene::set(&mut stage).await?;
        stage
            .expect_count(&bystander.chat(), "messages_count", 1)
            .await?;
        let path = &bystander.application.path;
        stage.expect_count(path, "chats_count", 1).await?;
        let mut target = Self {
            stage,
            scene,
            bystander,
            before: Vec::new(),
            chats: 1,
            messages: 1,
        };
        target.before = target.bystanders_things().await?;
        Ok(target)
    }

    async fn bystanders_things(&mut self) -> Result<Vec<Value>> {
        let mut things = Vec::new();
        for path in [
            self.bystander.application.path.clone(),
            self.bystander.chat(),
            self.bystander.message(),
            self.bystander.application.chats(),
            self.bystander.messages(),
        ] {
            things.push(self.stage.read(&path).await?);
        }
        Ok(things)
    }

    async fn wire(&self) -> Result<Wire> {
        Wire::open(self.stage.one_api()).await
    }

    /// Sends a request to an operation and checks the answer.
    async fn expect(
        &mut self,
        verdict: Verdict,
        operation: &Operation,
        call: &Call,
    ) -> Result<Answer> {
        let answer = self.stage.client.send(call).await?;
        self.judge(verdict, operation, &answer)
            .with_context(|| format!("{call} should be {verdict:?}"))?;
        Ok(answer)
    }

    /// Checks an answer, and counts what it created.
    fn judge(&mut self, verdict: Verdict, operation: &Operation, answer: &Answer) -> Result<()> {
        ensure!(answer.status < 500, "the server failed: {answer}");
        self.count(answer);
        expect_discretion(answer)?;
        verdict.expect(operation, answer)
    }

    fn count(&mut self, answer: &Answer) {
        if answer.status != 201 || answer.header("idempotency-replayed").is_some() {
            return;
        }
        let location = answer.header("location").unwrap_or_default();
        let list = location.rsplit_once('/').map(|(list, _)| list);
        if list == Some(&*self.scene.messages()) {
            self.messages += 1;
        } else if list == Some(&*self.scene.application.chats()) {
            self.chats += 1;
        }
    }

    /// Checks that `api` lives, that its counts fit, that no number was used up, and that the other
    /// application is as it was.
    async fn expect_unharmed(mut self) -> Result<()> {
        for path in ["/health/live", "/health/ready"] {
            self.stage.read(path).await?;
        }
        let (chats, messages) = (self.scene.application.chats(), self.scene.messages());
        for (list, count, body) in [
            (&messages, self.messages, json!({"body": "last"})),
            (&chats, self.chats, json!({"title": "last"})),
        ] {
            let created = self.stage.create(list, &body).await?;
            ensure!(
                created["number"] == count + 1,
                "{created} should be number {}",
                count + 1
            );
            let page = self
                .stage
                .read(&format!("{list}?order=desc&limit=1000"))
                .await?;
            let wanted: Vec<u64> = (1..=count + 1).rev().take(1_000).collect();
            ensure!(numbers(&page) == wanted, "{list} has a gap");
        }
        let (chat, application) = (self.scene.chat(), &self.scene.application.path);
        let stage = &self.stage;
        stage
            .expect_count(&chat, "messages_count", self.messages + 1)
            .await?;
        stage
            .expect_count(application, "chats_count", self.chats + 1)
            .await?;
        let after = self.bystanders_things().await?;
        ensure!(
            after == self.before,
            "another application changed to {after:?}"
        );
        Ok(())
    }
}

/// Returns the operations that store texts.
fn writes() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(|operation| !operation.texts.is_empty())
}

/// Returns the operations that take a body, search among them.
fn forms() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(|operation| operation.body.is_some())
}

/// Returns a field of the body whose value has to be a string.
fn first_field(operation: &Operation) -> &'static str {
    operation.texts.first().map_or("query", |text| text.name)
}

/// Makes a call to an operation with this body.
fn call_with(operation: &Operation, scene: &Scene, body: impl Into<Vec<u8>>) -> Result<Call> {
    Ok(operation
        .call(scene)?
        .with_body("application/json", body.into()))
}

/// Builds a body in which the field `text` has this value, and all others are right.
fn body_with(operation: &Operation, text: &Text, value: &str) -> String {
    let mut members = Vec::new();
    for other in operation.texts {
        if other.name == text.name {
            members.push(format!("\"{}\": {value}", text.name));
        } else if other.presence != Presence::Optional {
            members.push(format!("\"{}\": \"right\"", other.name));
        }
    }
    format!("{{{}}}", members.join(", "))
}
