//! What the database refuses is set aside: it holds nothing else up, can be read under its number, and
//! is left to an operator at the command line.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Client,
    invocation::{Ended, Invocation},
    program::{Program, free_port, scratch},
    services::{Services, URLS, ask_mariadb},
    stage::{eventually, numbers, within},
};
use serde_json::{Value, json};

use crate::{
    start,
    starting::{expect_failure, on},
};

/// How many messages wait to be stored together, with their chat.
const MESSAGES: u64 = 400;

/// Those of them that the database refuses.
const REFUSED: [u64; 3] = [10, 201, 390];

/// How long these may delay the others.
const DELAY: Duration = Duration::from_secs(1);

/// An operator at the command line, on the servers of these settings.
struct Operator<'a> {
    settings: &'a BTreeMap<String, String>,
}

impl Operator<'_> {
    async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let worker = on(self.settings, "worker")?
            .with("CHAT_WAIT_FOR", "1")
            .argument("dead-letters");
        let worker = arguments.iter().fold(worker, Invocation::argument);
        worker.within(Duration::from_secs(30)).run().await
    }

    /// Runs a command that must succeed, and returns what it wrote.
    async fn done(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments).await?;
        ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
        Ok(ended.stdout)
    }

    /// Returns the dead letters by the numbers of their messages.
    async fn letters(&self) -> Result<BTreeMap<u64, Value>> {
        let written = self.done(&["list", "--json"]).await?;
        let letters = written.lines().map(|line| {
            let letter: Value = serde_json::from_str(line)?;
            let number = letter["message_number"].as_u64().context("a number")?;
            Ok((number, letter))
        });
        letters.collect()
    }
}

fn id(letters: &BTreeMap<u64, Value>, number: u64) -> Result<&str> {
    letters[&number]["id"].as_str().context("an id")
}

async fn counted(api: &Program, chat: &str) -> Result<u64> {
    let chat = api.client().get(chat).await?.expect(200)?;
    chat["messages_count"].as_u64().context("a count")
}

async fn until_counted(api: &Program, chat: &str, wanted: u64) -> Result<()> {
    let what = format!("{wanted} messages are stored");
    within(Duration::from_secs(30), &what, || async {
        let count = counted(api, chat).await?;
        Ok((count == wanted).then_some(()))
    })
    .await
}

/// Checks that the API and the command line list what is set aside, and that it can still be read.
async fn expect_told(
    operator: &Operator<'_>,
    client: &mut Client,
    token: &str,
    letters: &BTreeMap<u64, Value>,
) -> Result<()> {
    assert_eq!(letters.keys().copied().collect::<Vec<_>>(), REFUSED);
    let admin = client
        .get("/api/v1/admin/dead-letters")
        .await?
        .expect(200)?;
    for told in admin["items"].as_array().context("items")? {
        let number = told["message_number"].as_u64().context("a number")?;
        let mut letter = letters[&number].clone();
        let failure = letter["failure"].take();
        let failure = failure.as_str().context("a failure")?;
        assert!(failure.contains("4025"), "{failure}");
        letter
            .as_object_mut()
            .context("an object")?
            .remove("failure");
        assert_eq!(&letter, told);
        assert_eq!(told["reason"], "refused");
        assert_eq!(told["body"], "refused");
        assert_eq!(told["application_token"], token);
    }
    let text = operator.done(&["list"]).await?;
    assert!(text.ends_with("dead letters: 3\n"), "{text}");
    let first = format!("message 10 of chat 1 of application {token}\n");
    assert!(text.contains(&first), "{text}");
    let all = format!("/api/v1/applications/{token}/chats/1/messages?limit=1000");
    let page = client.get(&all).await?.expect(200)?;
    assert_eq!(numbers(&page), (1..=MESSAGES).collect::<Vec<_>>());
    Ok(())
}

/// Replays and drops dead letters, and checks what becomes of their messages.
async fn decide(
    operator: &Operator<'_>,
    api: &Program,
    chat: &str,
    letters: &BTreeMap<u64, Value>,
) -> Result<()> {
    let (mut client, messages) = (api.client(), format!("{chat}/messages"));
    let fine = MESSAGES - REFUSED.len() as u64;
    // One that fails again is set aside again, and an unknown id beside it does not matter.
    let path = |number: u64| format!("{messages}/{number}");
    let unknown = operator
        .run(&["replay", "unknown", id(letters, 10)?])
        .await?;
    expect_failure(&unknown, &["not replayed: 1"])?;
    assert!(
        unknown.stderr.contains("no such dead letter"),
        "{unknown:?}"
    );
    assert_eq!(unknown.stdout, "replayed: 1\n");
    let again = eventually("it was set aside again", || async {
        let again = operator.letters().await?;
        Ok((again.len() == REFUSED.len()).then_some(again))
    })
    .await?;
    assert_eq!(id(&again, 10)?, id(letters, 10)?);
    assert_ne!(again[&10]["last_failed_at"], letters[&10]["last_failed_at"]);
    client.get(&path(10)).await?.expect(200)?;

    let allow = "ALTER TABLE chat.messages DROP CONSTRAINT refused";
    ask_mariadb(operator.settings, allow).await?;
    assert_eq!(
        operator.done(&["replay", id(letters, 10)?]).await?,
        "replayed: 1\n"
    );
    until_counted(api, chat, fine + 1).await?;
    assert_eq!(
        operator.done(&["drop", id(letters, 201)?]).await?,
        "dropped: 1\n"
    );
    client.get(&path(201)).await?.expect(404)?;
    client.get(&path(390)).await?.expect(200)?;
    assert_eq!(operator.done(&["replay", "--all"]).await?, "replayed: 1\n");
    until_counted(api, chat, fine + 2).await?;
    assert_eq!(operator.done(&["list"]).await?, "dead letters: 0\n");
    assert_eq!(operator.done(&["list", "--json"]).await?, "");
    let gone = operator.run(&["drop", id(letters, 201)?]).await?;
    expect_failure(&gone, &["not dropped: 1"])?;
    let page = client
        .get(&format!("{messages}?limit=1000"))
        .await?
        .expect(200)?;
    let left: Vec<u64> = (1..=MESSAGES).filter(|number| *number != 201).collect();
    assert_eq!(numbers(&page), left);
    Ok(())
}

/// Runs the test on `servers`; where several could carry the queue, the last one does.
async fn play(services: &Services, servers: &[&str]) -> Result<()> {
    services.up(servers).await?;
    let mut settings = services.settings_of(servers).await?;
    // This test needs no search server.
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    settings.insert(URLS[3].to_owned(), nobody);
    let folder = scratch()?;
    let operator = Operator {
        settings: &settings,
    };
    let api = start(folder.path(), "api", &settings).await?;
    let refuse = "ALTER TABLE chat.messages ADD CONSTRAINT refused CHECK (body <> 'refused')";
    ask_mariadb(&settings, refuse).await?;
    let mut client = api.client();
    let application = json!({"name": "letters"});
    let made = client.post("/api/v1/applications", &application).await?;
    let made = made.expect(201)?;
    let token = made["token"].as_str().context("a token")?;
    let chats = format!("/api/v1/applications/{token}/chats");
    client.post(&chats, &json!({})).await?.expect(201)?;
    let chat = format!("{chats}/1");
    let messages = format!("{chat}/messages");
    for number in 1..=MESSAGES {
        let is_refused = REFUSED.contains(&number);
        let body = json!({"body": if is_refused { "refused" } else { "fine" }});
        let sent = client.post(&messages, &body).await?.expect(201)?;
        assert_eq!(sent["number"], number);
    }

    // All messages are waiting by now; the delay is measured from the first that is stored.
    let mut worker = start(folder.path(), "worker", &settings).await?;
    let begun = within(Duration::from_secs(30), "storing begins", || async {
        let count = counted(&api, &chat).await?;
        Ok((count > 0).then(Instant::now))
    })
    .await?;
    let fine = MESSAGES - REFUSED.len() as u64;
    until_counted(&api, &chat, fine).await?;
    let took = begun.elapsed();
    assert!(took < DELAY, "the others waited for {took:?}");

    let letters = eventually("all are set aside", || async {
        let letters = operator.letters().await?;
        Ok((letters.len() == REFUSED.len()).then_some(letters))
    })
    .await?;
    expect_told(&operator, &mut client, token, &letters).await?;
    decide(&operator, &api, &chat, &letters).await?;
    worker.stop(Duration::from_secs(10)).await?;

    // The command names a server that is away.
    services.kill("redis").await?;
    expect_failure(&operator.run(&["list"]).await?, &["CHAT_COUNTER_URL"])
}

#[tokio::test]
async fn an_operator_sees_to_what_was_set_aside() -> Result<()> {
    match Services::find("an_operator_sees_to_what_was_set_aside")? {
        Some(services) => play(&services, &["mariadb", "redis"]).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn an_operator_sees_to_what_was_set_aside_from_rabbitmq() -> Result<()> {
    match Services::find("an_operator_sees_to_what_was_set_aside_from_rabbitmq")? {
        Some(services) => play(&services, &["mariadb", "redis", "rabbitmq"]).await,
        None => Ok(()),
    }
}
