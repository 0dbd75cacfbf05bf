-- SPDX-License-Identifier: Apache-2.0
-- Uploads that go on where they stopped; their bytes are in files of their own.

-- [sqlite]

CREATE TABLE uploads (
    upload_id VARCHAR(32) NOT NULL PRIMARY KEY,
    uid INTEGER,
    receiver_uid INTEGER,
    group_id INTEGER,
    caption TEXT,
    ttl_seconds INTEGER,
    filetype VARCHAR(16),
    placeholder VARCHAR(64),
    thumbnail BLOB,
    length BIGINT,
    received BIGINT NOT NULL DEFAULT '0',
    stored BIGINT NOT NULL DEFAULT '0',
    held BLOB,
    holder VARCHAR(32) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    message_id INTEGER,
    message_key VARCHAR(64),
    send_time BIGINT
);

CREATE INDEX uploads_uid ON uploads (uid, message_id, created_at);

CREATE INDEX uploads_receiver ON uploads (receiver_uid);

CREATE INDEX uploads_open ON uploads (message_id, stored);

CREATE INDEX uploads_expiry ON uploads (expires_at);

-- [mysql]

CREATE TABLE uploads (
    upload_id VARCHAR(32) NOT NULL,
    uid BIGINT COMMENT 'whose it is; null when that account is gone',
    receiver_uid BIGINT COMMENT 'whom it is for; null for a group, and when that account is gone',
    group_id BIGINT,
    caption TEXT,
    ttl_seconds INTEGER,
    filetype VARCHAR(16) COMMENT 'as the sender says; null: read from the bytes',
    placeholder VARCHAR(64),
    thumbnail MEDIUMBLOB COMMENT 'the sender''s own preview, clean',
    length BIGINT COMMENT 'null while the sender does not know it',
    received BIGINT NOT NULL DEFAULT '0' COMMENT 'the offset that was told',
    stored BIGINT NOT NULL DEFAULT '0' COMMENT 'bytes in the file, synced',
    held MEDIUMBLOB COMMENT 'sealed: those between, which cannot be cleaned before more has come',
    holder VARCHAR(32) NOT NULL COMMENT 'the process that may write',
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    message_id BIGINT COMMENT 'what became of it; null while it is open',
    message_key VARCHAR(64),
    send_time BIGINT,
    PRIMARY KEY (upload_id),
    KEY uploads_uid (uid, message_id, created_at),
    KEY uploads_receiver (receiver_uid),
    KEY uploads_open (message_id, stored),
    KEY uploads_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
