-- Applications, chats and messages, what numbers them, and the notes that go with them.
-- Times are microseconds since 1970-01-01T00:00:00Z. Keys are clustered: a page of messages is one
-- range scan, and inserting a message looks nothing up.

CREATE TABLE applications (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    token       TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    chats_count INTEGER NOT NULL DEFAULT 0,
    last_number INTEGER NOT NULL DEFAULT 0,
    epoch       INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER
) STRICT;

-- A chat without uid is a place-holder: it carries counts until its create comes.
CREATE TABLE chats (
    application_id INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    uid            BLOB,
    title          TEXT,
    messages_count INTEGER NOT NULL DEFAULT 0,
    last_number    INTEGER NOT NULL DEFAULT 0,
    epoch          INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL DEFAULT 0,
    updated_at     INTEGER NOT NULL DEFAULT 0,
    deleted_at     INTEGER,
    PRIMARY KEY (application_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    application_id INTEGER NOT NULL,
    chat_number    INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    uid            BLOB NOT NULL,
    version        INTEGER NOT NULL,
    sender         TEXT,
    body           TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    deleted_at     INTEGER,
    PRIMARY KEY (application_id, chat_number, number)
) STRICT, WITHOUT ROWID;

-- What the purge looks for, and nothing else.
CREATE INDEX messages_deleted ON messages (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX chats_deleted ON chats (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX applications_deleted ON applications (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    application_id INTEGER NOT NULL,
    key            TEXT NOT NULL,
    digest         BLOB NOT NULL,
    number         INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shards (
    shard          INTEGER PRIMARY KEY,
    address        TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    epoch          INTEGER NOT NULL,
    seen_epoch     INTEGER,
    seen_nonce     INTEGER,
    position_major INTEGER NOT NULL,
    position_minor INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    changes       TEXT NOT NULL,
    holder        TEXT,
    claimed_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE generations (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    serving INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE jobs (
    name        TEXT PRIMARY KEY,
    holder      TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    state       TEXT NOT NULL,
    done        INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    detail      TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE queue_entries (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    number     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    payload    BLOB NOT NULL,
    forced     INTEGER NOT NULL DEFAULT 0,
    attempts   INTEGER NOT NULL DEFAULT 0,
    holder     TEXT,
    held_since INTEGER NOT NULL DEFAULT 0,
    added_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE dead_letters (
    id              TEXT PRIMARY KEY,
    reason          TEXT NOT NULL,
    detail          TEXT NOT NULL,
    number          INTEGER,
    epoch           INTEGER NOT NULL DEFAULT 0,
    payload         BLOB NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
