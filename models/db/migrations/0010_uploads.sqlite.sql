-- SPDX-License-Identifier: Apache-2.0
-- Uploads that go on where they stopped; their bytes are in files of their own.

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
