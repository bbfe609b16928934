//! Jobs that only one process does at a time.

use chat_core::{
    model::{Job, JobName, JobProgress, JobState, Timestamp},
    ports::{Claim, JobClaim},
};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use crate::rows::bad_row;

macro_rules! read_job {
    ($lock:literal) => {
        concat!(
            "SELECT holder, lease_until, state, done, total, started_at, finished_at, detail
               FROM jobs WHERE name = ? ",
            $lock
        )
    };
}

fn job(row: &MySqlRow) -> Result<Job, sqlx::Error> {
    let finished_at: Option<i64> = row.try_get(6)?;
    Ok(Job {
        holder: row.try_get(0)?,
        lease_until: Timestamp::from_micros(row.try_get(1)?),
        progress: JobProgress {
            state: JobState::parse(row.try_get(2)?).ok_or_else(|| bad_row("a job's state"))?,
            done: row.try_get(3)?,
            total: row.try_get(4)?,
            started_at: Timestamp::from_micros(row.try_get(5)?),
            finished_at: finished_at.map(Timestamp::from_micros),
            detail: row.try_get(7)?,
        },
    })
}

pub(crate) async fn get(
    connection: &mut MySqlConnection,
    name: JobName,
) -> Result<Option<Job>, sqlx::Error> {
    let row = sqlx::query(read_job!(""))
        .bind(name.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(job).transpose()
}

pub(crate) async fn claim(
    connection: &mut MySqlConnection,
    name: JobName,
    claim: &Claim,
) -> Result<JobClaim, sqlx::Error> {
    let row = sqlx::query(read_job!("FOR UPDATE"))
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let known = row.as_ref().map(job).transpose()?;
    let write = match &known {
        Some(job) if job.holder != claim.holder && job.lease_until > claim.now => {
            return Ok(JobClaim::Held(job.clone()));
        }
        Some(_) => sqlx::query(
            "UPDATE jobs SET holder = ?, lease_until = ?, state = ?, started_at = ?, done = 0,
                             total = 0, finished_at = NULL, detail = NULL
              WHERE name = ?",
        ),
        // If another process inserts it at the same time, this fails, and finds it in the retry.
        None => sqlx::query(
            "INSERT INTO jobs (holder, lease_until, state, started_at, done, total, name)
             VALUES (?, ?, ?, ?, 0, 0, ?)",
        ),
    };
    write
        .bind(&claim.holder)
        .bind(claim.until.as_micros())
        .bind(JobState::Running.as_str())
        .bind(claim.now.as_micros())
        .bind(name.as_str())
        .execute(connection)
        .await?;
    Ok(JobClaim::Claimed(known))
}

pub(crate) async fn report(
    connection: &mut MySqlConnection,
    name: JobName,
    claim: &Claim,
    progress: &JobProgress,
) -> Result<bool, sqlx::Error> {
    let holder: Option<String> =
        sqlx::query_scalar("SELECT holder FROM jobs WHERE name = ? FOR UPDATE")
            .bind(name.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    if holder.as_deref() != Some(&claim.holder) {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE jobs SET lease_until = ?, state = ?, done = ?, total = ?, started_at = ?,
                         finished_at = ?, detail = ?
          WHERE name = ?",
    )
    .bind(claim.until.as_micros())
    .bind(progress.state.as_str())
    .bind(progress.done)
    .bind(progress.total)
    .bind(progress.started_at.as_micros())
    .bind(progress.finished_at.map(Timestamp::as_micros))
    .bind(progress.detail.as_deref())
    .bind(name.as_str())
    .execute(connection)
    .await?;
    Ok(true)
}
