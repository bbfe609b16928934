//! Statements about applications.

use chat_core::{
    model::{
        Application, ApplicationId, ApplicationName, ApplicationToken, NewApplication, Timestamp,
    },
    ports::{AddApplication, Deletion, Lookup, OutboxChange},
};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::{
    outbox,
    rows::{application, application_columns, signed, unsigned},
};

pub(crate) async fn add(
    connection: &mut SqliteConnection,
    new: &NewApplication,
) -> Result<AddApplication, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO applications (id, token, name, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING",
    )
    .bind(signed(new.id.get()))
    .bind(new.token.as_str())
    .bind(new.name.as_str())
    .bind(new.created_at.as_micros())
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(AddApplication::Taken);
    }
    Ok(AddApplication::Added(Application {
        id: new.id,
        token: new.token.clone(),
        name: new.name.clone(),
        chats_count: 0,
        created_at: new.created_at,
        updated_at: new.created_at,
    }))
}

pub(crate) async fn id(
    readers: &SqlitePool,
    token: &ApplicationToken,
) -> Result<Option<ApplicationId>, sqlx::Error> {
    let id: Option<i64> = sqlx::query_scalar("SELECT id FROM applications WHERE token = ?1")
        .bind(token.as_str())
        .fetch_optional(readers)
        .await?;
    id.map(|id| unsigned(id).map(ApplicationId::new))
        .transpose()
}

pub(crate) async fn get(
    readers: &SqlitePool,
    id: ApplicationId,
) -> Result<Lookup<Application>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        application_columns!(),
        ", a.deleted_at IS NOT NULL FROM applications AS a WHERE a.id = ?1"
    ))
    .bind(signed(id.get()))
    .fetch_optional(readers)
    .await?;
    match row {
        None => Ok(Lookup::Absent),
        Some(row) if row.try_get::<bool, _>(6)? => Ok(Lookup::Gone),
        Some(row) => Ok(Lookup::Found(application(&row)?)),
    }
}

pub(crate) async fn list(
    readers: &SqlitePool,
    after: Option<ApplicationId>,
    limit: usize,
) -> Result<Vec<Application>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        application_columns!(),
        " FROM applications AS a WHERE a.id > ?1 AND a.deleted_at IS NULL ORDER BY a.id LIMIT ?2"
    ))
    .bind(after.map_or(0, |after| signed(after.get())))
    .bind(signed(limit as u64))
    .fetch_all(readers)
    .await?;
    rows.iter().map(application).collect()
}

pub(crate) async fn rename(
    connection: &mut SqliteConnection,
    id: ApplicationId,
    name: &ApplicationName,
    at: Timestamp,
) -> Result<Lookup<Application>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "UPDATE applications AS a SET name = ?2, updated_at = ?3
          WHERE a.id = ?1 AND a.deleted_at IS NULL RETURNING ",
        "id, token, name, chats_count, created_at, updated_at"
    ))
    .bind(signed(id.get()))
    .bind(name.as_str())
    .bind(at.as_micros())
    .fetch_optional(&mut *connection)
    .await?;
    match row {
        Some(row) => Ok(Lookup::Found(application(&row)?)),
        None if exists(connection, id).await? => Ok(Lookup::Gone),
        None => Ok(Lookup::Absent),
    }
}

pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    id: ApplicationId,
    at: Timestamp,
) -> Result<Deletion, sqlx::Error> {
    let deleted =
        sqlx::query("UPDATE applications SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL")
            .bind(signed(id.get()))
            .bind(at.as_micros())
            .execute(&mut *connection)
            .await?
            .rows_affected();
    if deleted == 0 {
        let gone = exists(connection, id).await?;
        return Ok(if gone {
            Deletion::Gone
        } else {
            Deletion::Absent
        });
    }
    outbox::note(connection, &[OutboxChange::ApplicationDeleted(id)]).await?;
    Ok(Deletion::Deleted)
}

async fn exists(connection: &mut SqliteConnection, id: ApplicationId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM applications WHERE id = ?1)")
        .bind(signed(id.get()))
        .fetch_one(connection)
        .await
}
