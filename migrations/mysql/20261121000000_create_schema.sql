-- Applications, chats and messages, and the notes that go with them, for MySQL 8 and MariaDB 10.6.
-- Times are microseconds since 1970-01-01T00:00:00Z. Keys are clustered: a page of messages is one
-- range of the primary key, and inserting a message looks nothing up and fills no second index.
-- The server commits each of these statements by itself, so each can be run again after a crash.

CREATE TABLE IF NOT EXISTS applications (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    token       CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name        VARCHAR(255) NOT NULL,
    chats_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
    last_number BIGINT UNSIGNED NOT NULL DEFAULT 0,
    epoch       BIGINT UNSIGNED NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    deleted_at  BIGINT NULL,
    UNIQUE KEY token (token)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- A chat without uid is a place-holder: it carries counts until its create comes.
CREATE TABLE IF NOT EXISTS chats (
    application_id BIGINT UNSIGNED NOT NULL,
    number         BIGINT UNSIGNED NOT NULL,
    uid            BINARY(16) NULL,
    title          VARCHAR(255) NULL,
    messages_count BIGINT UNSIGNED NOT NULL DEFAULT 0,
    last_number    BIGINT UNSIGNED NOT NULL DEFAULT 0,
    epoch          BIGINT UNSIGNED NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL DEFAULT 0,
    updated_at     BIGINT NOT NULL DEFAULT 0,
    deleted_at     BIGINT NULL,
    PRIMARY KEY (application_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS messages (
    application_id BIGINT UNSIGNED NOT NULL,
    chat_number    BIGINT UNSIGNED NOT NULL,
    number         BIGINT UNSIGNED NOT NULL,
    uid            BINARY(16) NOT NULL,
    version        BIGINT UNSIGNED NOT NULL,
    sender         VARCHAR(255) NULL,
    body           TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    deleted_at     BIGINT NULL,
    PRIMARY KEY (application_id, chat_number, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The tombstones among the messages, so that the purge finds them without an index over all messages.
CREATE TABLE IF NOT EXISTS deleted_messages (
    application_id BIGINT UNSIGNED NOT NULL,
    chat_number    BIGINT UNSIGNED NOT NULL,
    number         BIGINT UNSIGNED NOT NULL,
    deleted_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, chat_number, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Deleted chats and applications (chat 0) below which there may be rows to purge.
CREATE TABLE IF NOT EXISTS deleted_parents (
    application_id BIGINT UNSIGNED NOT NULL,
    chat_number    BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (application_id, chat_number)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS settings (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS shards (
    shard          SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    address        TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    epoch          BIGINT UNSIGNED NOT NULL,
    seen_epoch     BIGINT UNSIGNED NULL,
    seen_nonce     BIGINT UNSIGNED NULL,
    position_major BIGINT UNSIGNED NOT NULL,
    position_minor BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The index over claims is there for counting: the rows are wide.
CREATE TABLE IF NOT EXISTS outbox (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    changes       MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder        VARCHAR(255) NULL,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    KEY claimed_until (claimed_until)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS generations (
    number  BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    serving BOOLEAN NOT NULL DEFAULT FALSE
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS jobs (
    name        VARCHAR(64) NOT NULL PRIMARY KEY,
    holder      VARCHAR(255) NOT NULL,
    lease_until BIGINT NOT NULL,
    state       VARCHAR(32) NOT NULL,
    done        BIGINT UNSIGNED NOT NULL,
    total       BIGINT UNSIGNED NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NULL,
    detail      MEDIUMTEXT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Ids are bytes: in a collation of text, trailing spaces would not count.
CREATE TABLE IF NOT EXISTS dead_letters (
    id              VARBINARY(255) NOT NULL PRIMARY KEY,
    reason          VARCHAR(64) NOT NULL,
    detail          MEDIUMTEXT NOT NULL,
    number          BIGINT UNSIGNED NULL,
    epoch           BIGINT UNSIGNED NOT NULL DEFAULT 0,
    payload         MEDIUMBLOB NOT NULL,
    first_failed_at BIGINT NOT NULL,
    last_failed_at  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- How many generations of the search index there are. Whoever changes rows locks this row in share
-- mode first, whoever adds a generation locks it alone: so a new one comes after every transaction that
-- does not know of it.
INSERT INTO settings (name, value) VALUES ('generations', 0) ON DUPLICATE KEY UPDATE value = value;
