//! Jobs that only one process does at a time.

use chat_core::{
    model::{Job, JobName, JobProgress, JobState, Timestamp},
    ports::{Claim, JobClaim},
};
use sqlx::{Row as _, SqliteConnection, SqliteExecutor};

use crate::rows::{bad_row, signed, unsigned};

pub(crate) async fn get(
    executor: impl SqliteExecutor<'_>,
    name: JobName,
) -> Result<Option<Job>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT holder, lease_until, state, done, total, started_at, finished_at, detail
           FROM jobs WHERE name = ?1",
    )
    .bind(name.as_str())
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let finished_at: Option<i64> = row.try_get(6)?;
    Ok(Some(Job {
        holder: row.try_get(0)?,
        lease_until: Timestamp::from_micros(row.try_get(1)?),
        progress: JobProgress {
            state: JobState::parse(row.try_get(2)?).ok_or_else(|| bad_row("a job's state"))?,
            done: unsigned(row.try_get(3)?)?,
            total: unsigned(row.try_get(4)?)?,
            started_at: Timestamp::from_micros(row.try_get(5)?),
            finished_at: finished_at.map(Timestamp::from_micros),
            detail: row.try_get(7)?,
        },
    }))
}

pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    name: JobName,
    claim: &Claim,
) -> Result<JobClaim, sqlx::Error> {
    let known = get(&mut *connection, name).await?;
    if let Some(job) = &known
        && job.holder != claim.holder
        && job.lease_until > claim.now
    {
        return Ok(JobClaim::Held(job.clone()));
    }
    sqlx::query(
        "INSERT OR REPLACE INTO jobs (name, holder, lease_until, state, done, total, started_at)
         VALUES (?1, ?2, ?3, ?4, 0, 0, ?5)",
    )
    .bind(name.as_str())
    .bind(&claim.holder)
    .bind(claim.until.as_micros())
    .bind(JobState::Running.as_str())
    .bind(claim.now.as_micros())
    .execute(connection)
    .await?;
    Ok(JobClaim::Claimed(known))
}

pub(crate) async fn report(
    connection: &mut SqliteConnection,
    name: JobName,
    claim: &Claim,
    progress: &JobProgress,
) -> Result<bool, sqlx::Error> {
    let reported = sqlx::query(
        "UPDATE jobs SET lease_until = ?3, state = ?4, done = ?5, total = ?6, started_at = ?7,
                         finished_at = ?8, detail = ?9
          WHERE name = ?1 AND holder = ?2",
    )
    .bind(name.as_str())
    .bind(&claim.holder)
    .bind(claim.until.as_micros())
    .bind(progress.state.as_str())
    .bind(signed(progress.done))
    .bind(signed(progress.total))
    .bind(progress.started_at.as_micros())
    .bind(progress.finished_at.map(Timestamp::as_micros))
    .bind(progress.detail.as_deref())
    .execute(connection)
    .await?;
    Ok(reported.rows_affected() == 1)
}
