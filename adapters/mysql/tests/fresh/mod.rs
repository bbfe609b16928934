//! A database of its own for each test, on the server at `CHAT_TEST_MYSQL_URL`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use chat_adapter_mysql::MySqlConfig;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection,
    mysql::MySqlConnectOptions,
};

/// A database that is dropped at the end of its test.
pub(crate) struct FreshDatabase {
    /// How to open it; the first to do so creates it.
    pub(crate) config: MySqlConfig,
    server: MySqlConnectOptions,
    /// The database's name.
    pub(crate) database: String,
}

/// Says whether a test without a server fails instead of being skipped.
pub(crate) fn is_required() -> bool {
    let required = std::env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name.trim() == "mysql")
}

impl FreshDatabase {
    /// Names a database that does not exist; `None` without a server.
    pub(crate) fn name() -> Option<Self> {
        Self::named("chat_test")
    }

    /// Does the same with a name that begins with `beginning`.
    pub(crate) fn named(beginning: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("CHAT_TEST_MYSQL_URL") else {
            assert!(
                !is_required(),
                "CHAT_TEST_REQUIRE names mysql, but CHAT_TEST_MYSQL_URL is not set"
            );
            eprintln!("skipped, since CHAT_TEST_MYSQL_URL is not set");
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{beginning}_{}_{count}", std::process::id());
        let digit = |half: u8| char::from_digit(half.into(), 16).expect("it is below 16");
        let in_path: String = name
            .bytes()
            .flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 15)])
            .collect();
        let database = Self {
            config: MySqlConfig::new(format!("{}/{in_path}", server.trim_end_matches('/'))),
            server: server.parse().expect("CHAT_TEST_MYSQL_URL is an address"),
            database: name,
        };
        // A process of the same id that was killed may have left one.
        database.drop_database();
        Some(database)
    }

    /// A connection of the test's own, to what was opened before.
    pub(crate) async fn connect(&self) -> MySqlConnection {
        let options = self.server.clone().database(&self.database);
        options.connect().await.expect("the database is there")
    }

    /// Runs statements from a thread of its own, since the caller may be in the middle of a runtime.
    pub(crate) fn run(&self, statements: &str) {
        let (server, sql) = (self.server.clone(), statements.to_owned());
        let running = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = server.connect().await?;
                connection.execute(AssertSqlSafe(sql)).await?;
                connection.close().await
            })
        });
        match running.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("`{statements}` failed: {error}"),
            Err(_) => eprintln!("`{statements}` failed"),
        }
    }

    fn drop_database(&self) {
        self.run(&format!(
            "SET SESSION lock_wait_timeout = 20; DROP DATABASE IF EXISTS `{}`",
            self.database.replace('`', "``")
        ));
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        self.drop_database();
    }
}
