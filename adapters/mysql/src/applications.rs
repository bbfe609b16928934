//! Statements about applications.

use chat_core::{
    model::{
        Application, ApplicationId, ApplicationName, ApplicationToken, NewApplication, Timestamp,
    },
    ports::{AddApplication, Deletion, Lookup, OutboxChange, Parent},
};
use sqlx::{MySqlConnection, Row as _};

use crate::{
    error::is_duplicate,
    outbox,
    parents::{Hold, hold_application},
    rows::{application, application_columns},
    writing::note_deleted_parent,
};

pub(crate) async fn add(
    connection: &mut MySqlConnection,
    new: &NewApplication,
) -> Result<AddApplication, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO applications (id, token, name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(new.id.get())
    .bind(new.token.as_str())
    .bind(new.name.as_str())
    .bind(new.created_at.as_micros())
    .bind(new.created_at.as_micros())
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => {}
        Err(error) if is_duplicate(&error) => return Ok(AddApplication::Taken),
        Err(error) => return Err(error),
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
    connection: &mut MySqlConnection,
    token: &ApplicationToken,
) -> Result<Option<ApplicationId>, sqlx::Error> {
    let id: Option<u64> = sqlx::query_scalar("SELECT id FROM applications WHERE token = ?")
        .bind(token.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(id.map(ApplicationId::new))
}

pub(crate) async fn get(
    connection: &mut MySqlConnection,
    id: ApplicationId,
) -> Result<Lookup<Application>, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        application_columns!(),
        ", a.deleted_at IS NOT NULL FROM applications AS a WHERE a.id = ?"
    ))
    .bind(id.get())
    .fetch_optional(connection)
    .await?;
    match row {
        None => Ok(Lookup::Absent),
        Some(row) if row.try_get::<i64, _>(6)? != 0 => Ok(Lookup::Gone),
        Some(row) => Ok(Lookup::Found(application(&row)?)),
    }
}

pub(crate) async fn list(
    connection: &mut MySqlConnection,
    after: Option<ApplicationId>,
    limit: usize,
) -> Result<Vec<Application>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        application_columns!(),
        " FROM applications AS a FORCE INDEX (PRIMARY)
          WHERE a.id > ? AND a.deleted_at IS NULL ORDER BY a.id LIMIT ?"
    ))
    .bind(after.map_or(0, ApplicationId::get))
    .bind(limit as u64)
    .fetch_all(connection)
    .await?;
    rows.iter().map(application).collect()
}

pub(crate) async fn rename(
    connection: &mut MySqlConnection,
    id: ApplicationId,
    name: &ApplicationName,
    at: Timestamp,
) -> Result<Lookup<Application>, sqlx::Error> {
    match hold_application(connection, id, Hold::Exclusive).await? {
        Parent::Absent => return Ok(Lookup::Absent),
        Parent::Gone => return Ok(Lookup::Gone),
        Parent::Live => {}
    }
    sqlx::query("UPDATE applications SET name = ?, updated_at = ? WHERE id = ?")
        .bind(name.as_str())
        .bind(at.as_micros())
        .bind(id.get())
        .execute(&mut *connection)
        .await?;
    get(connection, id).await
}

pub(crate) async fn delete(
    connection: &mut MySqlConnection,
    id: ApplicationId,
    at: Timestamp,
) -> Result<Deletion, sqlx::Error> {
    let is_noted = outbox::hold_generations(connection).await?;
    match hold_application(connection, id, Hold::Exclusive).await? {
        Parent::Absent => return Ok(Deletion::Absent),
        Parent::Gone => return Ok(Deletion::Gone),
        Parent::Live => {}
    }
    sqlx::query("UPDATE applications SET deleted_at = ? WHERE id = ?")
        .bind(at.as_micros())
        .bind(id.get())
        .execute(&mut *connection)
        .await?;
    note_deleted_parent(connection, id, 0).await?;
    if is_noted {
        outbox::note(connection, &[OutboxChange::ApplicationDeleted(id)]).await?;
    }
    Ok(Deletion::Deleted)
}
