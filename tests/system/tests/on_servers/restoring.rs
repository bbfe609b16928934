//! A server that was restored from a backup, or came back empty: what was kept is there, and numbering
//! goes on above every number that anybody may still know.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Client,
    program::{Program, scratch},
    services::{SERVERS, Services},
    stage::{eventually, numbers},
};
use serde_json::json;

use crate::start;

/// How far numbers leap where nobody can tell which were given.
const LEAP: u64 = 65_536;

/// The running programs by name.
struct System {
    programs: BTreeMap<&'static str, Program>,
}

impl System {
    async fn start(services: &Services, folder: &Path) -> Result<Self> {
        services.up(&SERVERS).await?;
        let settings = services.settings().await?;
        let mut programs = BTreeMap::new();
        for name in ["api", "worker", "sync"] {
            programs.insert(name, start(folder, name, &settings).await?);
        }
        Ok(Self { programs })
    }

    fn client(&self) -> Client {
        self.programs["api"].client()
    }

    async fn stop(mut self) -> Result<()> {
        for (name, program) in &mut self.programs {
            let status = program.stop(Duration::from_secs(10)).await?;
            ensure!(status.success(), "{name} ended with {status}");
        }
        Ok(())
    }

    /// Creates an application and returns its path.
    async fn application(&self) -> Result<String> {
        let application = json!({"name": "restored"});
        let mut client = self.client();
        let made = client.post("/api/v1/applications", &application).await?;
        let made = made.expect(201)?;
        let token = made["token"].as_str().context("a token")?;
        Ok(format!("/api/v1/applications/{token}"))
    }

    /// Creates a chat and returns its number.
    async fn chat(&self, application: &str) -> Result<u64> {
        let chats = format!("{application}/chats");
        let chat = self.client().post(&chats, &json!({})).await?.expect(201)?;
        chat["number"].as_u64().context("a number")
    }

    /// Creates a message and returns its number.
    async fn send(&self, messages: &str) -> Result<u64> {
        let body = json!({"body": "hello"});
        let message = self.client().post(messages, &body).await?.expect(201)?;
        message["number"].as_u64().context("a number")
    }

    /// Waits until the database holds `wanted` messages of the chat, and returns their numbers.
    async fn stored(&self, chat: &str, wanted: u64) -> Result<Vec<u64>> {
        eventually("the messages are stored and counted", || async {
            let counted = self.client().get(chat).await?.expect(200)?;
            Ok((counted["messages_count"] == wanted).then_some(()))
        })
        .await?;
        let page = self.client().get(&format!("{chat}/messages")).await?;
        Ok(numbers(&page.expect(200)?))
    }
}

#[tokio::test]
async fn what_a_restored_server_forgot_is_never_numbered_again() -> Result<()> {
    let name = "what_a_restored_server_forgot";
    let Some(services) = Services::find(name)? else {
        return Ok(());
    };
    let folder = scratch()?;
    let (data, backup) = (
        services.folder().join("mariadb/data"),
        folder.path().join("backup"),
    );

    let system = System::start(&services, folder.path()).await?;
    let application = system.application().await?;
    assert_eq!(system.chat(&application).await?, 1);
    let chat = format!("{application}/chats/1");
    let messages = format!("{chat}/messages");
    for number in 1..=3 {
        assert_eq!(system.send(&messages).await?, number);
    }
    assert_eq!(system.stored(&chat, 3).await?, [1, 2, 3]);
    system.stop().await?;
    services.run("down", &["--keep", "mariadb"]).await?;
    copy(&data, &backup)?;

    // The database is restored, and Redis is as it was: numbers given after the backup become a gap.
    let system = System::start(&services, folder.path()).await?;
    for number in 4..=5 {
        assert_eq!(system.send(&messages).await?, number);
    }
    assert_eq!(system.stored(&chat, 5).await?, [1, 2, 3, 4, 5]);
    let lost = system.application().await?;
    for number in 1..=3 {
        assert_eq!(system.chat(&lost).await?, number);
    }
    system.stop().await?;
    services.run("down", &["--keep", "mariadb"]).await?;
    fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    let system = System::start(&services, folder.path()).await?;
    assert_eq!(system.send(&messages).await?, 6);
    assert_eq!(system.stored(&chat, 4).await?, [1, 2, 3, 6]);
    // An application made after the backup is gone, and no new one inherits what Redis still knows of it.
    system.client().get(&lost).await?.expect(404)?;
    let next = system.application().await?;
    assert_eq!(system.chat(&next).await?, 1);
    system.stop().await?;

    // Redis comes back empty: all numbers that it may have given are leapt over.
    services.run("down", &["redis"]).await?;
    let system = System::start(&services, folder.path()).await?;
    let number = system.send(&messages).await?;
    assert_eq!(number, 6 + LEAP + 1);
    assert_eq!(system.stored(&chat, 5).await?, [1, 2, 3, 6, number]);
    assert_eq!(system.send(&messages).await?, number + 1);
    system.stop().await
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    ensure!(copied.context("copying")?.success(), "cp -a failed");
    Ok(())
}
