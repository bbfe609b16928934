//! Opening: who makes the database, who migrates it, and what is refused.

use std::{error::Error as _, time::Duration};

use chat_adapter_mysql::{MySqlConfig, MySqlRepository, OpenError};
use chat_core::ports::Repository as _;
use tokio::task::JoinSet;

use crate::{
    falling_silent::falling_silent,
    fresh::FreshDatabase,
    stage::{count, run},
};

async fn refusal(config: &MySqlConfig) -> OpenError {
    match MySqlRepository::open(config).await {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_that_open_at_once_migrate_once() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let mut opening = JoinSet::new();
    for _ in 0..10 {
        let config = database.config.clone();
        opening.spawn(async move {
            let repository = MySqlRepository::open(&config).await.unwrap();
            repository.check().await.unwrap();
        });
    }
    opening.join_all().await;
    let mut connection = database.connect().await;
    let applied = count(&mut connection, "_sqlx_migrations").await;
    let done = count(&mut connection, "_sqlx_migrations WHERE success").await;
    assert_eq!(applied, done);
    // Opening again runs nothing.
    MySqlRepository::open(&database.config).await.unwrap();
    assert_eq!(count(&mut connection, "_sqlx_migrations").await, applied);
}

#[tokio::test]
async fn a_database_may_have_any_name() {
    let Some(database) = FreshDatabase::named("`ch\u{e4}t` \"x\"-?'\u{4f60}") else {
        return;
    };
    let repository = MySqlRepository::open(&database.config).await.unwrap();
    repository.check().await.unwrap();
    MySqlRepository::open(&database.config).await.unwrap();
}

/// A crash in the middle of a migration leaves some of its tables, and its row marked as begun.
#[tokio::test]
async fn a_migration_that_was_cut_short_is_done_again() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    MySqlRepository::open(&database.config).await.unwrap();
    let mut connection = database.connect().await;
    for spoil in [
        "UPDATE _sqlx_migrations SET success = FALSE",
        "DROP TABLE outbox, jobs",
        "DELETE FROM settings",
    ] {
        run(&mut connection, spoil).await;
    }
    let repository = MySqlRepository::open(&database.config).await.unwrap();
    repository.add_generation().await.unwrap();
    assert_eq!(count(&mut connection, "outbox").await, 0);
    let begun = count(&mut connection, "_sqlx_migrations WHERE NOT success").await;
    assert_eq!(begun, 0);
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    MySqlRepository::open(&database.config).await.unwrap();
    let mut connection = database.connect().await;
    for is_done in ["TRUE", "FALSE"] {
        let sql = format!(
            "REPLACE INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99990101000000, 'of the future', {is_done}, 'x', 1)"
        );
        run(&mut connection, &sql).await;
        let error = refusal(&database.config).await;
        assert!(
            matches!(
                error,
                OpenError::NewerSchema {
                    migration: 99_990_101_000_000,
                    ..
                }
            ),
            "{error}"
        );
        // A refused program must leave the rows of the migrations as they are.
        assert_eq!(
            count(&mut connection, "_sqlx_migrations WHERE version > 9999").await,
            2
        );
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_in_a_sentence() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let server = database.config.url.clone();
    let without_name = server.rsplit_once('/').unwrap().0;
    let error = refusal(&MySqlConfig::new(without_name)).await;
    assert!(matches!(error, OpenError::NoDatabase), "{error}");
    let error = refusal(&MySqlConfig::new("no address")).await;
    assert!(matches!(error, OpenError::Address), "{error}");
    let nobody = "mysql://nobody:s3cret@127.0.0.1:1/chat";
    let error = refusal(&MySqlConfig::new(nobody)).await;
    assert_eq!(
        error.to_string(),
        "the database server at `127.0.0.1:1` cannot be used"
    );
    assert!(!format!("{error:?}").contains("s3cret"));
}

/// A server that accepts the connection and then falls silent must not be waited for forever.
#[tokio::test]
async fn a_step_that_hangs_is_named() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    for (at, named) in [
        ("CREATE DATABASE", "create the database"),
        ("version()", "tell its version"),
        ("GET_LOCK", "did not finish it"),
    ] {
        let config = MySqlConfig {
            timeout: Duration::from_millis(500),
            upkeep_timeout: Duration::from_millis(500),
            ..MySqlConfig::new(falling_silent(&database.config.url, at).await)
        };
        let error = refusal(&config).await;
        let source = error.source().expect("a reason").to_string();
        assert!(source.contains(named), "{at}: {error}: {source}");
        assert_eq!(error.is_retryable(), at != "GET_LOCK", "{at}");
    }
    MySqlRepository::open(&database.config).await.unwrap();
}

/// Errors that waiting may cure are told apart from those that it cannot.
#[tokio::test]
async fn only_what_may_pass_can_be_tried_again() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let url = &database.config.url;
    let (_, place) = url.rsplit_once('@').unwrap();
    for (url, may_pass) in [
        ("mysql://nobody@127.0.0.1:1/chat".to_owned(), true),
        ("mysql://nobody@nowhere.invalid/chat".to_owned(), true),
        (format!("mysql://nobody:guess@{place}"), false),
        (format!("{url}?ssl-mode=VERIFY_CA"), false),
        ("no address".to_owned(), false),
    ] {
        let error = refusal(&MySqlConfig::new(&url)).await;
        assert_eq!(error.is_retryable(), may_pass, "{error:?}");
    }
}

#[tokio::test]
async fn connecting_makes_nothing() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let refused = MySqlRepository::connect(&database.config).await;
    let refused = refused.err().expect("there is no such database");
    assert!(!refused.is_retryable(), "{refused:?}");
    database.run(&format!("CREATE DATABASE `{}`", database.database));
    let repository = MySqlRepository::connect(&database.config).await.unwrap();
    repository.check().await.unwrap();
    let mut connection = database.connect().await;
    let tables = "information_schema.tables WHERE table_schema = DATABASE()";
    assert_eq!(count(&mut connection, tables).await, 0);
}

/// A server that cannot prove its identity is refused where the address demands that proof.
#[tokio::test]
async fn the_address_says_what_the_server_has_to_prove() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let with_mode =
        |mode: &str| MySqlConfig::new(format!("{}?ssl-mode={mode}", database.config.url));
    let repository = MySqlRepository::open(&with_mode("DISABLED")).await.unwrap();
    repository.check().await.unwrap();
    for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
        let error = refusal(&with_mode(mode)).await;
        assert!(matches!(error, OpenError::Server { .. }), "{error:?}");
    }
    let error = refusal(&with_mode("SOMETIMES")).await;
    assert!(matches!(error, OpenError::Address), "{error:?}");
}

/// A user without the right to create databases is told so; with rights on its database it may migrate.
#[tokio::test]
async fn a_database_that_cannot_be_made_is_said_so() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let user = format!("chat_{}", std::process::id());
    database.run(&format!(
        "CREATE USER '{user}'@'%' IDENTIFIED BY 's3cret'; GRANT USAGE ON *.* TO '{user}'@'%'"
    ));
    let (_, place) = database.config.url.rsplit_once('@').unwrap();
    let url = format!("mysql://{user}:s3cret@{place}");
    let refused = refusal(&MySqlConfig::new(&url)).await;
    let wrong = refusal(&MySqlConfig::new(url.replace("s3cret", "guess"))).await;
    let name = &database.database;
    database.run(&format!(
        "CREATE DATABASE `{name}`; GRANT ALL ON `{name}`.* TO '{user}'@'%'"
    ));
    let opened = MySqlRepository::open(&MySqlConfig::new(&url)).await;
    if let Ok(repository) = &opened {
        repository.check().await.unwrap();
        repository.close().await;
    }
    database.run(&format!("DROP USER '{user}'@'%'"));
    assert!(
        matches!(
            refused,
            OpenError::Database { .. } | OpenError::Server { .. }
        ),
        "{refused:?}"
    );
    assert!(matches!(wrong, OpenError::Server { .. }), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("guess"));
    assert!(opened.is_ok());
}
