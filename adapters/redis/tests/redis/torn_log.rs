//! A server that was killed while it wrote its log, and the half transaction at the log's end.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    time::Duration,
};

use chat_core::{
    model::{ChatKey, Creation, Sequence, Uid},
    ports::Entry,
};
use tempfile::TempDir;

use crate::{
    private_server::PrivateServer,
    system::{System, message, receive, send},
};

/// A server whose log ends in a creation that counts as never answered, since the log is cut there.
struct Torn {
    server: PrivateServer,
    system: System,
    chat: ChatKey,
    backup: TempDir,
    /// Offsets to cut the log at, each within another command of that creation.
    cuts: Vec<u64>,
}

impl Torn {
    /// Creates four messages, the last of which is the one to cut off.
    async fn start(arguments: &[&str]) -> Option<Self> {
        let mut server = PrivateServer::start(arguments).await?;
        let system = System::new();
        let scene = system.process(&server).await;
        let chat = scene.chat().await;
        rewritten(&server).await;
        send(&scene, chat, 4).await;
        server.kill();
        let cuts = within_last_transaction(&fs::read(server.log()).unwrap());
        assert!(cuts.len() > 3, "a creation takes several commands");
        Some(Self {
            backup: server.back_up(),
            server,
            system,
            chat,
            cuts,
        })
    }

    /// Restarts the server with its log cut off.
    async fn cut(&mut self, at: u64) {
        self.server.put_back(&self.backup);
        let log = OpenOptions::new().write(true).open(self.server.log());
        log.unwrap().set_len(at).unwrap();
        self.server.come_back().await;
    }

    /// Creates a message in a new process, which knows nothing yet.
    async fn create(&self) -> Creation {
        let scene = self.system.process(&self.server).await;
        scene.create(message(self.chat, "next")).await
    }

    /// The messages in the queue by number, after making sure that no number occurs twice.
    async fn queued(&self) -> BTreeMap<u64, Uid> {
        let scene = self.system.process(&self.server).await;
        let mut queued = BTreeMap::new();
        for delivery in receive(&scene, "worker").await {
            let Entry::Creation(creation) = delivery.entry else {
                panic!("an entry cannot be read");
            };
            if creation.sequence() == Sequence::Messages(self.chat) {
                let repeated = queued.insert(creation.number.get(), creation.draft.uid);
                assert_eq!(repeated, None, "{} twice", creation.number);
            }
        }
        queued
    }
}

/// Waits until no rewrite of the log is in progress.
async fn rewritten(server: &PrivateServer) {
    let info = async || server.text("INFO persistence").await;
    while !info().await.contains("aof_rewrite_in_progress:0") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_creation_never_comes_back() {
    let Some(mut torn) = Torn::start(&["--appendfsync", "always"]).await else {
        return;
    };
    for at in torn.cuts.clone() {
        torn.cut(at).await;
        let next = torn.create().await;
        assert_eq!(next.number.get(), 4, "cut at {at}");
        rewritten(&torn.server).await;
        torn.server.come_back().await;
        assert_eq!(torn.create().await.number.get(), 5, "cut at {at}");
        let queued = torn.queued().await;
        assert!(queued.keys().copied().eq(1..=5), "cut at {at}: {queued:?}");
        assert_eq!(queued[&4], next.draft.uid);
    }
}

/// The server finds its log damaged, mends it, exits, and is fine at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_creation_never_comes_back_where_the_log_is_not_rewritten_yet() {
    let slow = ["--appendfsync", "always", "--rdb-key-save-delay", "50000"];
    let Some(mut torn) = Torn::start(&slow).await else {
        return;
    };
    for at in torn.cuts.clone() {
        torn.cut(at).await;
        let next = torn.create().await;
        assert_eq!(next.number.get(), 4, "cut at {at}");
        let info = torn.server.text("INFO persistence").await;
        assert!(info.contains("aof_rewrite_in_progress:1"), "{info}");
        torn.server.come_back_supervised().await;
        let queued = torn.queued().await;
        assert!(queued.keys().copied().eq(1..=4), "cut at {at}: {queued:?}");
        assert_eq!(queued[&4], next.draft.uid);
    }
}

/// As if only a worker had written to the server between its two starts.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_creation_that_comes_back_before_the_next_one_shares_no_number() {
    let Some(mut torn) = Torn::start(&["--appendfsync", "always"]).await else {
        return;
    };
    for at in torn.cuts.clone() {
        torn.cut(at).await;
        let mut writing = redis::pipe();
        writing.atomic().set("one", 1).set("two", 2);
        torn.server.run_all(&writing).await;
        torn.server.come_back().await;
        let next = torn.create().await;
        let queued = torn.queued().await;
        let number = next.number.get();
        assert_eq!(queued[&number], next.draft.uid, "cut at {at}: {queued:?}");
    }
}

/// The middle of each command of the log's last transaction, but for the `MULTI` that begins it.
fn within_last_transaction(log: &[u8]) -> Vec<u64> {
    let mut last = Vec::new();
    let mut rest = log;
    while let Some(behind) = behind_command(rest) {
        let at = log.len() - rest.len();
        let command = &rest[..rest.len() - behind.len()];
        if command.ends_with(b"\r\nMULTI\r\n") {
            last.clear();
        } else {
            last.push((at + command.len() / 2) as u64);
        }
        rest = behind;
    }
    assert!(rest.is_empty(), "the log is read to its end");
    last
}

/// What follows the first command, which looks like `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`.
fn behind_command(log: &[u8]) -> Option<&[u8]> {
    let (words, mut rest) = header(log, b'*')?;
    for _ in 0..words {
        let (bytes, word) = header(rest, b'$')?;
        rest = word.get(bytes + 2..)?;
    }
    Some(rest)
}

/// The number in a line that begins with a mark, and what follows the line.
fn header(log: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let end = log.iter().position(|byte| *byte == b'\n')?;
    let line = log.get(..end - 1)?.strip_prefix(&[mark])?;
    let number = std::str::from_utf8(line).ok()?.parse().ok()?;
    Some((number, &log[end + 1..]))
}
