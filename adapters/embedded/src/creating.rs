//! Creations, many at once: numbered, counted and inserted by a few statements for all of them.

use std::{collections::HashMap, time::Duration};

use chat_core::{
    model::{
        ApplicationId, ChatKey, Content, Digest, Draft, Epoch, MessageKey, MessageNumber, Number,
        Sequence, Submission, Timestamp,
    },
    ports::{Numbering, OutboxChange, Overload, Placement},
};
use sqlx::{Row as _, SqliteConnection};

use crate::rows::{bad_row, changes_json, number, unsigned};

/// How long an idempotency key is kept.
const KEY_LIFE: Duration = Duration::from_hours(24);

/// The retry hint for an exhausted sequence, the same that other adapters give for a full one.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The row that numbers a sequence.
struct Owner {
    application_lives: bool,
    lives: bool,
    last: u64,
    given: u64,
}

/// What an idempotency key was used for before.
struct Used {
    digest: Digest,
    number: Number,
    created_at: Timestamp,
}

type KeyName<'a> = (ApplicationId, &'a str);

/// Numbers and stores creations within the open transaction.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    submissions: &[&Submission],
) -> Result<Vec<Numbering>, sqlx::Error> {
    if submissions.is_empty() {
        return Ok(Vec::new());
    }
    let (mut owners, indexed) = owners(connection, submissions).await?;
    let mut keys = used_keys(connection, submissions).await?;
    let mut accepted = Vec::with_capacity(submissions.len());
    let mut answers = Vec::with_capacity(submissions.len());
    let mut new_keys = Vec::new();
    for submission in submissions {
        let numbering = decide(submission, &mut owners, &mut keys, &mut new_keys);
        if let Numbering::Accepted { number, epoch, .. } = numbering {
            accepted.push((number, epoch, &submission.draft));
        }
        answers.push(numbering);
    }
    insert(connection, &accepted, &new_keys, &owners, indexed).await?;
    Ok(answers)
}

/// Reads the rows that number the submissions' sequences, and whether a search index exists.
async fn owners(
    connection: &mut SqliteConnection,
    submissions: &[&Submission],
) -> Result<(HashMap<Sequence, Owner>, bool), sqlx::Error> {
    let mut sequences: Vec<Sequence> = submissions
        .iter()
        .map(|submission| submission.draft.sequence())
        .collect();
    sequences.sort_unstable();
    sequences.dedup();
    let asked: Vec<(u64, u64)> = sequences
        .iter()
        .map(|sequence| match sequence {
            Sequence::Chats(application) => (application.get(), 0),
            Sequence::Messages(chat) => (chat.application.get(), chat.chat.get()),
        })
        .collect();
    // No chat has number 0, so that stands for the application itself.
    let rows = sqlx::query(
        "SELECT a.id, asked.value ->> 1,
                a.deleted_at IS NULL,
                asked.value ->> 1 = 0 OR (c.uid IS NOT NULL AND c.deleted_at IS NULL),
                CASE asked.value ->> 1 WHEN 0 THEN a.last_number ELSE c.last_number END,
                EXISTS (SELECT 1 FROM generations)
           FROM json_each(?1) AS asked
           JOIN applications AS a ON a.id = asked.value ->> 0
           LEFT JOIN chats AS c
             ON c.application_id = asked.value ->> 0 AND c.number = asked.value ->> 1",
    )
    .bind(json(&asked)?)
    .fetch_all(connection)
    .await?;
    let mut owners = HashMap::with_capacity(rows.len());
    let mut indexed = false;
    for row in rows {
        let application = ApplicationId::new(unsigned(row.try_get(0)?)?);
        let sequence = match Number::try_new(unsigned(row.try_get(1)?)?) {
            Ok(chat) => Sequence::Messages(ChatKey {
                application,
                chat: chat.into(),
            }),
            Err(_) => Sequence::Chats(application),
        };
        let last: Option<i64> = row.try_get(4)?;
        let owner = Owner {
            application_lives: row.try_get(2)?,
            lives: row.try_get::<Option<bool>, _>(3)?.unwrap_or(false),
            last: unsigned(last.unwrap_or(0))?,
            given: 0,
        };
        indexed = row.try_get(5)?;
        owners.insert(sequence, owner);
    }
    Ok((owners, indexed))
}

/// Reads which of the submissions' keys were used in the last day.
async fn used_keys<'a>(
    connection: &mut SqliteConnection,
    submissions: &[&'a Submission],
) -> Result<HashMap<KeyName<'a>, Used>, sqlx::Error> {
    let named: Vec<(KeyName<'a>, Timestamp)> = submissions
        .iter()
        .filter_map(|submission| Some((key_name(submission)?, submission.draft.created_at)))
        .collect();
    let Some(newest) = named.iter().map(|(_, at)| *at).max() else {
        return Ok(HashMap::new());
    };
    let asked: Vec<(u64, &str)> = named
        .iter()
        .map(|((id, key), _)| (id.get(), *key))
        .collect();
    let rows = sqlx::query(
        "SELECT k.application_id, k.key, k.digest, k.number, k.created_at
           FROM json_each(?1) AS asked
           JOIN idempotency_keys AS k
             ON k.application_id = asked.value ->> 0 AND k.key = asked.value ->> 1
          WHERE k.created_at > ?2",
    )
    .bind(json(&asked)?)
    .bind(newest.minus(KEY_LIFE).as_micros())
    .fetch_all(connection)
    .await?;
    let mut used = HashMap::with_capacity(rows.len());
    for row in rows {
        let id = ApplicationId::new(unsigned(row.try_get(0)?)?);
        let key: &str = row.try_get(1)?;
        // The name must live as long as the submissions, which the row does not.
        let Some((name, _)) = named.iter().find(|(name, _)| *name == (id, key)) else {
            continue;
        };
        let digest = Digest::from_bytes(row.try_get(2)?).ok_or_else(|| bad_row("a digest"))?;
        let created_at = Timestamp::from_micros(row.try_get(4)?);
        used.insert(
            *name,
            Used {
                digest,
                number: number(row.try_get(3)?)?,
                created_at,
            },
        );
    }
    Ok(used)
}

fn key_name(submission: &Submission) -> Option<KeyName<'_>> {
    let key = submission.key.as_ref()?;
    Some((submission.draft.sequence().application(), key.as_str()))
}

/// Numbers one submission, or says why not; the next one sees what this one was given.
fn decide<'a>(
    submission: &'a Submission,
    owners: &mut HashMap<Sequence, Owner>,
    keys: &mut HashMap<KeyName<'a>, Used>,
    new_keys: &mut Vec<NewKey<'a>>,
) -> Numbering {
    let draft = &submission.draft;
    let Some(owner) = owners.get_mut(&draft.sequence()) else {
        return Numbering::Gone;
    };
    if !owner.application_lives {
        return Numbering::Gone;
    }
    let name = key_name(submission);
    if let Some(used) = name.and_then(|name| keys.get(&name)) {
        return if used.digest == submission.digest() {
            Numbering::Replayed {
                number: used.number,
                created_at: used.created_at,
            }
        } else {
            Numbering::KeyReused
        };
    }
    if !owner.lives {
        return Numbering::Gone;
    }
    let Ok(next) = Number::try_new(owner.last.saturating_add(1)) else {
        return Numbering::Overloaded {
            by: Overload::Sequence,
            retry_after: RETRY_AFTER,
        };
    };
    owner.last = next.get();
    owner.given += 1;
    if let Some(name) = name {
        let (digest, created_at) = (submission.digest(), draft.created_at);
        keys.insert(
            name,
            Used {
                digest,
                number: next,
                created_at,
            },
        );
        new_keys.push((name, digest, next, created_at));
    }
    Numbering::Accepted {
        number: next,
        epoch: Epoch::FIRST,
        placement: Placement::Stored,
    }
}

/// Inserts and counts everything in one call, since each call is a hand-over between threads.
///
/// The statements without work find an empty array and do nothing.
/// Parameters are not numbered, since each statement takes the next of them.
/// `OR ROLLBACK` spares SQLite a statement journal: where one statement fails, the whole transaction
/// does.
const INSERT: &str = "
    INSERT OR ROLLBACK INTO chats
           (application_id, number, uid, title, epoch, created_at, updated_at)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4, value ->> 5,
           value ->> 5
      FROM json_each(?);

    INSERT OR ROLLBACK INTO messages
           (application_id, chat_number, number, uid, version, sender, body, created_at, updated_at)
    SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), 1, value ->> 4, value ->> 5,
           value ->> 6, value ->> 6
      FROM json_each(?);

    UPDATE OR ROLLBACK applications AS a
       SET chats_count = chats_count + (given.value ->> 1), last_number = given.value ->> 2,
           epoch = max(epoch, 1)
      FROM json_each(?) AS given
     WHERE a.id = given.value ->> 0;

    UPDATE OR ROLLBACK chats AS c
       SET messages_count = messages_count + (given.value ->> 2), last_number = given.value ->> 3
      FROM json_each(?) AS given
     WHERE c.application_id = given.value ->> 0 AND c.number = given.value ->> 1;

    INSERT INTO outbox (changes)
    SELECT changes FROM (SELECT ? AS changes) WHERE changes <> '[]';";

/// Stores new idempotency keys, and deletes some that have expired.
const KEEP_KEYS: &str = "
    INSERT OR REPLACE INTO idempotency_keys (application_id, key, digest, number, created_at)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4
      FROM json_each(?);

    DELETE FROM idempotency_keys WHERE (application_id, key) IN (
           SELECT application_id, key FROM idempotency_keys
            WHERE created_at <= ? ORDER BY created_at LIMIT 1000);";

/// A draft that was given a number, borrowed, since a body can be large.
type Accepted<'a> = (Number, Epoch, &'a Draft);

/// A key that an accepted creation used.
type NewKey<'a> = (KeyName<'a>, Digest, Number, Timestamp);

async fn insert(
    connection: &mut SqliteConnection,
    accepted: &[Accepted<'_>],
    new_keys: &[NewKey<'_>],
    owners: &HashMap<Sequence, Owner>,
    indexed: bool,
) -> Result<(), sqlx::Error> {
    if accepted.is_empty() {
        return Ok(());
    }
    let mut chats = Vec::new();
    let mut messages = Vec::new();
    let mut changes = Vec::new();
    for (number, epoch, draft) in accepted {
        let (uid, at) = (draft.uid, draft.created_at);
        match &draft.content {
            Content::Chat { application, title } => {
                chats.push((application, number, uid, title, epoch, at));
            }
            Content::Message {
                chat: ChatKey { application, chat },
                sender,
                body,
            } => {
                messages.push((application, chat, number, uid, sender, body, at));
                if indexed {
                    let message = MessageNumber::from(*number);
                    let (application, chat) = (*application, *chat);
                    let key = MessageKey {
                        application,
                        chat,
                        message,
                    };
                    changes.push(OutboxChange::Message(key));
                }
            }
        }
    }
    let mut grown_applications = Vec::new();
    let mut grown_chats = Vec::new();
    for (sequence, owner) in owners.iter().filter(|(_, owner)| owner.given > 0) {
        match sequence {
            Sequence::Chats(id) => grown_applications.push((id, owner.given, owner.last)),
            Sequence::Messages(ChatKey { application, chat }) => {
                grown_chats.push((application, chat, owner.given, owner.last));
            }
        }
    }
    sqlx::query(INSERT)
        .bind(json(&chats)?)
        .bind(json(&messages)?)
        .bind(json(&grown_applications)?)
        .bind(json(&grown_chats)?)
        .bind(changes_json(&changes))
        .execute(&mut *connection)
        .await?;
    let Some((_, _, _, now)) = new_keys.last() else {
        return Ok(());
    };
    let keys: Vec<_> = new_keys
        .iter()
        .map(|((id, key), digest, number, at)| (id, key, hex(digest), number, at))
        .collect();
    sqlx::query(KEEP_KEYS)
        .bind(json(&keys)?)
        .bind(now.minus(KEY_LIFE).as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

fn json(rows: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    digest
        .as_bytes()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string never fails");
            text
        })
}
