//! The query plan of every statement: it uses an index for what it needs, and sorts nothing.
//!
//! The statements are taken from the server's own log, so none can be forgotten here.

use std::collections::BTreeMap;

use chat_adapter_mysql::{MySqlConfig, MySqlRepository};
use chat_core::ports::Repository as _;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, Row as _};

use crate::{calls::call_everything, fresh::FreshDatabase};

/// Statements that read a whole table, by a part of their text, and why they may.
const WHOLE: [&str; 5] = [
    // The sum over all chats, with which a rebuild begins, once.
    "SUM(c.messages_count)",
    // A limited part of an index of eight bytes a row; its rows are gone within seconds.
    "(SELECT id FROM outbox LIMIT ",
    // Two rows at most.
    "FROM generations",
    // As many rows as there are shards.
    "SELECT shard, epoch FROM shards",
    // The first notes of the purge, in their order.
    "FROM deleted_parents AS d FORCE INDEX",
];

/// How much there is of everything.
#[derive(Clone, Copy)]
struct Size {
    applications: u64,
    /// Of each application.
    chats: u64,
    /// Of each chat; every fifth is deleted.
    messages: u64,
}

#[tokio::test]
async fn every_statement_looks_up_what_it_needs() {
    let size = Size {
        applications: 40,
        chats: 20,
        messages: 25,
    };
    check_plans(size, |_| true).await;
}

/// Servers prefer to scan small tables; a statement that locks what it reads must not.
#[tokio::test]
async fn few_rows_are_looked_up_where_they_are_locked() {
    let size = Size {
        applications: 15,
        chats: 5,
        messages: 10,
    };
    let locks = |statement: &str| {
        let is_change = statement.starts_with("UPDATE") || statement.starts_with("DELETE");
        is_change || statement.contains(" FOR UPDATE") || statement.contains(" SHARE MODE")
    };
    check_plans(size, locks).await;
}

/// A method that is not called has no plan that could be checked.
#[test]
fn every_method_of_the_port_is_called() {
    let port = include_str!("../../../../chat-core/src/ports/repository.rs");
    let calls = include_str!("calls.rs");
    let methods = port.lines().filter_map(|line| {
        let method = line.strip_prefix("    async fn ")?;
        method.split('(').next()
    });
    // The scene adds an application itself.
    let uncalled: Vec<&str> = methods
        .filter(|method| *method != "add_application" && !calls.contains(&format!(".{method}(")))
        .collect();
    assert!(uncalled.is_empty(), "{uncalled:?}");
}

async fn check_plans(size: Size, is_checked: impl Fn(&str) -> bool) {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let config = MySqlConfig {
        connections: 1,
        ..database.config.clone()
    };
    let repository = MySqlRepository::open(&config).await.unwrap();
    let mut admin = database.connect().await;
    fill(&mut admin, size).await;
    repository.check().await.unwrap();
    let threads = threads(&mut admin).await;
    let logging = Logging::begin(&mut admin, &database).await;
    call_everything(repository).await;
    let statements = logging.end(&mut admin, &threads).await;
    // With fewer, some call is not made above, and its statements are not checked.
    assert!(statements.len() > 70, "{} statements", statements.len());

    let mut bad = Vec::new();
    for statement in statements.values().filter(|it| is_checked(it)) {
        for step in explain(&mut admin, statement).await {
            let is_whole = WHOLE.iter().any(|part| statement.contains(part));
            if let Some(fault) = step.fault(is_whole) {
                bad.push(format!("{fault}: {step:?}\n    in {statement}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Makes applications, the last three of them deleted, with chats and messages; all counts are wrong.
async fn fill(admin: &mut MySqlConnection, size: Size) {
    let Size {
        applications,
        chats,
        messages,
    } = size;
    let up_to = |last: u64| {
        format!(
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
        )
    };
    for sql in [
        format!(
            "INSERT INTO applications (token, name, chats_count, last_number, epoch, created_at,
                                       updated_at, deleted_at)
             {} SELECT LPAD(i, 32, '0'), 'an application', 999, {chats}, 1, i, i,
                       IF(i > {applications} - 3, i, NULL) FROM n",
            up_to(applications)
        ),
        format!(
            "INSERT INTO chats (application_id, number, uid, title, messages_count, last_number,
                                epoch)
             {} SELECT a.id, n.i, UNHEX(LPAD(HEX(n.i), 32, '0')), 'a chat', 999, {messages}, 1
                  FROM applications AS a, n",
            up_to(chats)
        ),
        format!(
            "INSERT INTO messages (application_id, chat_number, number, uid, version, body,
                                   created_at, updated_at, deleted_at)
             {} SELECT c.application_id, c.number, n.i, UNHEX(LPAD(HEX(n.i), 32, '0')), 1,
                       REPEAT('text ', 20), 1, 1, IF(n.i % 5 = 0, n.i, NULL)
                  FROM chats AS c, n",
            up_to(messages)
        ),
        "INSERT INTO deleted_messages (application_id, chat_number, number, deleted_at)
         SELECT application_id, chat_number, number, deleted_at FROM messages
          WHERE deleted_at IS NOT NULL"
            .to_owned(),
        "INSERT INTO deleted_parents (application_id, chat_number)
         SELECT id, 0 FROM applications WHERE deleted_at IS NOT NULL"
            .to_owned(),
        format!(
            "INSERT INTO outbox (changes) {} SELECT '[[1,1,1]]' FROM n",
            up_to(chats * messages)
        ),
        format!(
            "INSERT INTO dead_letters (id, reason, detail, payload, first_failed_at, last_failed_at)
             {} SELECT SHA2(i, 256), 'refused', 'a test', 'x', 1, 1 FROM n",
            up_to(chats * messages)
        ),
        "ANALYZE TABLE applications, chats, messages, deleted_messages, outbox, dead_letters,
                       deleted_parents, settings, shards, jobs, generations"
            .to_owned(),
    ] {
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

/// The server's threads that work on the test's database, apart from the one that asks.
async fn threads(admin: &mut MySqlConnection) -> Vec<u64> {
    sqlx::query_scalar(
        "SELECT CAST(id AS UNSIGNED) FROM information_schema.processlist
          WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

/// The server's log of statements, switched on for a while.
struct Logging<'a> {
    database: &'a FreshDatabase,
    is_on: bool,
}

impl<'a> Logging<'a> {
    async fn begin(admin: &mut MySqlConnection, database: &'a FreshDatabase) -> Self {
        // The log is global, so two tests must not use it at once.
        let begin = "SELECT GET_LOCK('chat_test_log', 120); SET GLOBAL general_log = OFF; TRUNCATE TABLE mysql.general_log;
                     SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON";
        admin.execute(begin).await.unwrap();
        Self {
            database,
            is_on: true,
        }
    }

    /// The statements of some threads, one of each form.
    async fn end(
        mut self,
        admin: &mut MySqlConnection,
        threads: &[u64],
    ) -> BTreeMap<String, String> {
        admin.execute("SET GLOBAL general_log = OFF").await.unwrap();
        self.is_on = false;
        let rows = sqlx::query(
            "SELECT CAST(thread_id AS UNSIGNED), CAST(argument AS BINARY)
               FROM mysql.general_log WHERE command_type IN ('Execute', 'Query')",
        )
        .fetch_all(&mut *admin)
        .await
        .unwrap();
        let unlock = "SELECT RELEASE_LOCK('chat_test_log')";
        admin.execute(unlock).await.unwrap();
        let mut statements = BTreeMap::new();
        for row in rows {
            let thread: u64 = row.get(0);
            let statement = String::from_utf8_lossy(row.get(1));
            let words: Vec<&str> = statement.split_whitespace().collect();
            let statement = words.join(" ");
            let is_read_or_change = ["SELECT", "(SELECT", "UPDATE", "DELETE"]
                .iter()
                .any(|word| statement.starts_with(word));
            if threads.contains(&thread) && is_read_or_change {
                statements.entry(form(&statement)).or_insert(statement);
            }
        }
        statements
    }
}

impl Drop for Logging<'_> {
    fn drop(&mut self) {
        if self.is_on {
            self.database.run("SET GLOBAL general_log = OFF");
        }
    }
}

/// A statement without its values.
fn form(statement: &str) -> String {
    let mut is_text = false;
    let values = statement.chars().filter(|c| {
        if *c == '\'' {
            is_text = !is_text;
        }
        !is_text && !c.is_ascii_digit()
    });
    values.collect()
}

/// One row of a plan.
#[derive(Debug)]
struct Step {
    table: String,
    access: String,
    key: String,
    extra: String,
}

impl Step {
    fn fault(&self, is_whole: bool) -> Option<&'static str> {
        let is_list_of_keys = self.extra.contains("Table function: json_table");
        if is_list_of_keys || self.table.is_empty() || self.table.starts_with('<') {
            return None;
        }
        if self.extra.contains("filesort") {
            return Some("it sorts");
        }
        if self.extra.contains("temporary") {
            return Some("it makes a temporary table");
        }
        if self.extra.contains("join buffer") {
            return Some("it reads a table for each block of rows");
        }
        let looks_up = ["system", "const", "eq_ref", "ref", "range"].contains(&&*self.access);
        match (looks_up, self.key.is_empty()) {
            (true, false) => None,
            _ if is_whole => None,
            _ => Some("it reads a whole table or index"),
        }
    }
}

async fn explain(admin: &mut MySqlConnection, statement: &str) -> Vec<Step> {
    let sql = format!("EXPLAIN FORMAT=TRADITIONAL {statement}");
    let rows = admin.fetch_all(AssertSqlSafe(sql)).await.unwrap();
    let text = |row: &sqlx::mysql::MySqlRow, column: &str| {
        row.try_get::<Option<String>, _>(column)
            .unwrap()
            .unwrap_or_default()
    };
    rows.iter()
        .map(|row| Step {
            table: text(row, "table"),
            access: text(row, "type"),
            key: text(row, "key"),
            extra: text(row, "Extra"),
        })
        .collect()
}
