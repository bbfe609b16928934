//! Connections that are cut, and servers that end, in the middle of everything.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chat_adapter_mysql::MySqlConfig;
use chat_core::{
    PortError,
    contract::Scene,
    model::{ChatKey, MessageKey, NumberRange},
    ports::StoreOutcome,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, MySqlConnection, mysql::MySqlConnectOptions,
};
use tokio::task::JoinSet;

use crate::{
    fresh::FreshDatabase,
    private::PrivateServer,
    stage::{Dice, batch, check_counts, message_key, new_message, open, run},
};

const CALLERS: u64 = 4;

/// Stores messages of a chat, each until it is said to be stored, and deletes every seventh.
struct Caller {
    scene: Scene,
    chat: ChatKey,
    end: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
}

impl Caller {
    async fn run(self) -> Vec<MessageKey> {
        let mut stored = Vec::new();
        for number in (1..).step_by(20) {
            if self.end.load(Ordering::Relaxed) {
                break;
            }
            let keys = (number..number + 20).map(|of| message_key(self.chat, of));
            let creations: Vec<_> = keys
                .clone()
                .map(|key| new_message(&self.scene, key))
                .collect();
            let batch = batch(&creations);
            let repository = self.scene.repository();
            let report = self.persist(|| repository.store(&batch)).await;
            for outcome in report.outcomes {
                // If the answer to a commit was lost, it is there already.
                assert!(matches!(
                    outcome,
                    StoreOutcome::Stored | StoreOutcome::Present
                ));
            }
            let doomed = message_key(self.chat, number + 7);
            let now = self.scene.now();
            self.persist(|| repository.delete_message(doomed, now, None))
                .await;
            stored.extend(keys.filter(|key| *key != doomed));
        }
        stored
    }

    /// Retries as long as the error says that this may help.
    async fn persist<T, Call>(&self, call: impl Fn() -> Call) -> T
    where
        Call: Future<Output = Result<T, PortError>>,
    {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(error) => {
                    assert!(error.is_retryable(), "{error}: {:?}", error.source);
                    assert!(Instant::now() < deadline, "{error}: {:?}", error.source);
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

/// Callers that work until they are told to end.
struct Work {
    callers: JoinSet<Vec<MessageKey>>,
    end: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
}

impl Work {
    async fn begin(scene: &Scene) -> Self {
        let mut work = Self {
            callers: JoinSet::new(),
            end: Arc::default(),
            failures: Arc::default(),
        };
        for _ in 0..CALLERS {
            let caller = Caller {
                scene: scene.clone(),
                chat: scene.stored_chat().await,
                end: Arc::clone(&work.end),
                failures: Arc::clone(&work.failures),
            };
            work.callers.spawn(caller.run());
        }
        work
    }

    /// Stops the callers, and checks that all that was said to be stored is there.
    async fn end(self, scene: &Scene) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        let mut expected: BTreeMap<ChatKey, Vec<MessageKey>> = BTreeMap::new();
        for key in self.callers.join_all().await.concat() {
            expected.entry(key.chat_key()).or_default().push(key);
        }
        assert_eq!(expected.len() as u64, CALLERS, "a caller stored nothing");
        for (chat, keys) in expected {
            let all = NumberRange::all();
            let slice = scene.repository().messages(chat, &all, 1 << 20, &[]).await;
            let rows: Vec<_> = slice.unwrap().rows.iter().map(|it| it.key).collect();
            assert_eq!(rows, keys);
        }
        self.failures.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_connections_lose_and_repeat_nothing() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    scene.repository().add_generation().await.unwrap();
    let work = Work::begin(&scene).await;
    let mut admin = database.connect().await;
    let mut dice = Dice::new(1);
    let mut cut = 0;
    let begun = Instant::now();
    // Where the server is slow to end connections, as many are cut, but it takes longer.
    while begun.elapsed() < Duration::from_secs(3) || cut <= 100 {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "{cut} connections were cut"
        );
        let threads = threads(&mut admin).await;
        if !threads.is_empty() {
            let kill = format!("KILL CONNECTION {}", threads[dice.below(threads.len())]);
            // The connection may have ended by itself.
            cut += u64::from(admin.execute(AssertSqlSafe(kill)).await.is_ok());
        }
        tokio::time::sleep(Duration::from_micros(500 + dice.below(4_000) as u64)).await;
    }
    work.end(&scene).await;
    check_counts(&mut admin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_comes_back_is_found_with_all_that_was_stored() {
    let Some(mut server) = PrivateServer::start().await else {
        return;
    };
    let config = MySqlConfig {
        acquire_timeout: Duration::from_secs(1),
        ..MySqlConfig::new(server.url("chat"))
    };
    let scene = open(&config).await;
    let work = Work::begin(&scene).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        let began = Instant::now();
        let error = scene.repository().check().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{error}");
        server.start_again().await;
        let deadline = Instant::now() + Duration::from_secs(5);
        while scene.repository().check().await.is_err() {
            assert!(Instant::now() < deadline, "it is not found again");
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let failures = work.end(&scene).await;
    assert!(failures > 0, "nobody was disturbed");
    let options: MySqlConnectOptions = server.url("chat").parse().unwrap();
    let mut admin = options.connect().await.unwrap();
    check_counts(&mut admin).await;
    // A server that became a replica is not healthy, though it answers.
    run(&mut admin, "SET GLOBAL read_only = ON").await;
    let error = scene.repository().check().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    run(&mut admin, "SET GLOBAL read_only = OFF").await;
    scene.repository().check().await.unwrap();
}

/// Connections that died while idle are replaced without a caller noticing, however many.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_connections_are_replaced_unnoticed() {
    let Some(mut database) = FreshDatabase::name() else {
        return;
    };
    database.config.connections = 12;
    let scene = open(&database.config).await;
    let key = scene.stored_chat().await;
    let mut admin = database.connect().await;
    for number in 1..=4 {
        // Each caller needs a connection of its own while the chat is locked.
        run(&mut admin, "BEGIN").await;
        run(&mut admin, "SELECT number FROM chats FOR UPDATE").await;
        let mut callers = JoinSet::new();
        for _ in 0..24 {
            let scene = scene.clone();
            callers.spawn(async move {
                let update = scene.repository().update_chat(key, None, scene.now(), None);
                update.await.unwrap();
            });
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while threads(&mut admin).await.len() < 12 {
            assert!(Instant::now() < deadline, "not all connections are used");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run(&mut admin, "COMMIT").await;
        callers.join_all().await;
        // Connections that were returned are pinged first; let that end.
        tokio::time::sleep(Duration::from_millis(50)).await;
        for thread in threads(&mut admin).await {
            let kill = format!("KILL CONNECTION {thread}");
            admin.execute(AssertSqlSafe(kill)).await.unwrap();
        }
        scene.stored_messages(key, &[number]).await;
    }
    assert_eq!(scene.messages_count(key).await, 4);
}

/// The server's threads that work on the test's database, apart from the one that asks.
async fn threads(admin: &mut MySqlConnection) -> Vec<u64> {
    let threads = sqlx::query_scalar(
        "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist
          WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    );
    // MySQL fails to list a statement with binary data in it.
    threads.fetch_all(admin).await.unwrap_or_default()
}

/// An abandoned call must leave no answer behind that a later caller would take for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_calls_disturb_nobody() {
    let Some(mut database) = FreshDatabase::name() else {
        return;
    };
    database.config.connections = 2;
    let scene = open(&database.config).await;
    let chat = scene.stored_chat().await;
    scene.stored_messages(chat, &[1, 2, 3]).await;
    let mut dice = Dice::new(3);
    for round in 0..200_u64 {
        let patience = Duration::from_micros(dice.below(3_000) as u64);
        let key = message_key(chat, 10 + round);
        let creations = [new_message(&scene, key)];
        let batch = batch(&creations);
        // Most calls are abandoned, at any point.
        drop(tokio::time::timeout(patience, scene.repository().store(&batch)).await);
        let one = scene.repository().message(message_key(chat, 1)).await;
        assert_eq!(one.unwrap().found().unwrap().key, message_key(chat, 1));
        let report = scene.repository().store(&batch).await.unwrap();
        assert_eq!(report.outcomes.len(), 1);
    }
    check_counts(&mut database.connect().await).await;
}
