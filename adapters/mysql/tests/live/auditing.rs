//! Audits of parents that are large, have numbers far apart, or are locked by somebody else.

use std::time::Duration;

use chat_adapter_mysql::MySqlConfig;
use chat_core::{contract::Scene, model::ChatKey};
use sqlx::{Executor as _, MySqlConnection};

use crate::{
    fresh::FreshDatabase,
    stage::{chat_key, check_counts, open, run},
};

/// More rows than one statement goes through.
const MANY: u64 = 60_000;

/// Fills chats of an application with messages, all counted.
async fn fill(connection: &mut MySqlConnection, application: u64, chats: u64, messages: u64) {
    let up_to = |last: u64| {
        format!(
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
        )
    };
    let thousands = messages.div_ceil(1_000);
    for sql in [
        format!(
            "INSERT INTO chats (application_id, number, uid, messages_count, last_number, epoch)
             {} SELECT {application}, i, UNHEX(LPAD(HEX(i), 32, '0')), {messages}, {messages}, 1 FROM n",
            up_to(chats)
        ),
        format!(
            "INSERT INTO messages (application_id, chat_number, number, uid, version, body,
                                   created_at, updated_at)
             WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
             SELECT c.application_id, c.number, (t.i - 1) * 1000 + n.i, UNHEX(REPEAT('0', 32)), 1, 'x',
                    1, 1
               FROM chats AS c, n AS t, n
              WHERE c.application_id = {application} AND t.i <= {thousands}
                AND (t.i - 1) * 1000 + n.i <= {messages}"
        ),
        format!(
            "UPDATE applications SET chats_count = {chats}, last_number = {chats}
              WHERE id = {application}"
        ),
    ] {
        run(connection, &sql).await;
    }
}

/// Audits all chats; returns how many were compared, in how many pages, and which were repaired.
async fn audit_chats(scene: &Scene) -> (u64, usize, Vec<ChatKey>) {
    let (mut checked, mut pages, mut repaired, mut after) = (0, 0, Vec::new(), None);
    loop {
        let audit = scene.repository().audit_chats(after, 100).await.unwrap();
        assert_eq!(audit.failed, []);
        checked += audit.checked;
        pages += 1;
        repaired.extend(audit.repaired);
        after = audit.next;
        if after.is_none() {
            return (checked, pages, repaired);
        }
    }
}

/// An epoch's leap leaves numbers far above the rows that there are.
#[tokio::test]
async fn a_leap_makes_no_page_smaller() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let application = scene.application().await.id;
    let mut connection = database.connect().await;
    fill(&mut connection, application.get(), 90, 2).await;
    run(&mut connection, "UPDATE chats SET last_number = 131072").await;
    run(
        &mut connection,
        "UPDATE applications SET last_number = 131072",
    )
    .await;
    assert_eq!(audit_chats(&scene).await, (90, 1, vec![]));
    let audit = scene.repository().audit_applications(None, 100).await;
    assert_eq!(audit.unwrap().next, None);
}

#[tokio::test]
async fn deleted_parents_make_no_page_the_last_one() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let application = scene.application().await.id;
    let mut connection = database.connect().await;
    fill(&mut connection, application.get(), 250, 1).await;
    let deleted = "UPDATE chats SET deleted_at = 1 WHERE number BETWEEN 5 AND 240";
    run(&mut connection, deleted).await;
    let (checked, pages, _) = audit_chats(&scene).await;
    assert_eq!((checked, pages), (14, 3));
}

#[tokio::test]
async fn a_large_chat_is_counted_piece_by_piece() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let application = scene.application().await.id;
    let mut connection = database.connect().await;
    fill(&mut connection, application.get(), 3, MANY).await;
    assert_eq!(audit_chats(&scene).await, (3, 3, vec![]));
    let wrong = chat_key(application, 2);
    for spoil in [
        "DELETE FROM messages WHERE chat_number = 2 AND number % 7 = 0",
        "UPDATE messages SET deleted_at = 1 WHERE chat_number = 2 AND number % 7 = 1",
        "INSERT INTO deleted_messages SELECT application_id, chat_number, number, 1 FROM messages
          WHERE deleted_at IS NOT NULL",
        "UPDATE chats SET last_number = 7 WHERE number = 2",
    ] {
        connection.execute(spoil).await.unwrap();
    }
    let (checked, _, repaired) = audit_chats(&scene).await;
    assert_eq!((checked, repaired), (3, vec![wrong]));
    check_counts(&mut connection).await;
}

#[tokio::test]
async fn a_large_application_is_counted_piece_by_piece() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let scene = open(&database.config).await;
    let mut connection = database.connect().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let application = scene.application().await.id;
        ids.push(application);
        run(
            &mut connection,
            &format!(
                "INSERT INTO chats (application_id, number, uid)
                 WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 300)
                 SELECT {application}, (m.i - 1) * 300 + n.i, UNHEX(REPEAT('0', 32)) FROM n, n AS m"
            ),
        )
        .await;
    }
    let mut repaired = Vec::new();
    let mut after = None;
    loop {
        let audit = scene.repository().audit_applications(after, 9).await;
        let audit = audit.unwrap();
        repaired.extend(audit.repaired);
        after = audit.next;
        if after.is_none() {
            break;
        }
    }
    ids.sort();
    assert_eq!(repaired, ids);
    check_counts(&mut connection).await;
}

/// Somebody else has locked a chat: the others are repaired, and it is reported.
#[tokio::test]
async fn a_chat_that_fails_is_passed_over() {
    let Some(database) = FreshDatabase::name() else {
        return;
    };
    let config = MySqlConfig {
        upkeep_timeout: Duration::from_secs(1),
        ..database.config.clone()
    };
    let scene = open(&config).await;
    let application = scene.application().await.id;
    let mut connection = database.connect().await;
    fill(&mut connection, application.get(), 3, 2).await;
    run(&mut connection, "UPDATE chats SET messages_count = 9").await;
    let mut holder = database.connect().await;
    let hold = format!(
        "BEGIN; SELECT * FROM chats WHERE application_id = {application} AND number = 2 FOR UPDATE"
    );
    run(&mut holder, &hold).await;
    let audit = scene.repository().audit_chats(None, 9).await.unwrap();
    let key = |of| chat_key(application, of);
    assert_eq!((audit.checked, audit.next), (2, None));
    assert_eq!(
        (audit.repaired, audit.failed),
        (vec![key(1), key(3)], vec![key(2)])
    );
    holder.execute("ROLLBACK").await.unwrap();
    let (_, _, repaired) = audit_chats(&scene).await;
    assert_eq!(repaired, [key(2)]);
    check_counts(&mut connection).await;
}
