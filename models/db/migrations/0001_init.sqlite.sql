-- SPDX-License-Identifier: Apache-2.0
-- The schema of the first release. A statement ends with a semicolon at the end of a line.

CREATE TABLE activations (
    activation_id VARCHAR(32) NOT NULL,
    phone_digest BLOB NOT NULL,
    phone_cipher BLOB NOT NULL,
    nickname VARCHAR(64) NOT NULL,
    cid TEXT,
    push_provider VARCHAR(16) DEFAULT '' NOT NULL,
    device_type VARCHAR(16) DEFAULT '' NOT NULL,
    terms_version VARCHAR(64),
    code_hmac BLOB NOT NULL,
    attempts_left INTEGER NOT NULL,
    sends INTEGER NOT NULL,
    resend_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (activation_id)
);
CREATE INDEX activations_expiry ON activations (expires_at);
CREATE INDEX activations_phone ON activations (phone_digest, created_at);

CREATE TABLE idempotency (
    key_digest BLOB NOT NULL,
    request_digest BLOB NOT NULL,
    uid INTEGER,
    reply TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_digest)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
CREATE INDEX idempotency_uid ON idempotency (uid);

CREATE TABLE users (
    uid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    nickname VARCHAR(64) NOT NULL,
    region_num VARCHAR(3),
    phone_cipher BLOB,
    discoverable INTEGER DEFAULT '1' NOT NULL,
    terms_version VARCHAR(64),
    reg_time BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    disabled_at BIGINT,
    event_seq BIGINT DEFAULT '0' NOT NULL,
    pending_count BIGINT DEFAULT '0' NOT NULL,
    pending_bytes BIGINT DEFAULT '0' NOT NULL
);

CREATE TABLE credentials (
    credential_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    uid INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    digest BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX credentials_expiry ON credentials (expires_at);
CREATE INDEX credentials_uid ON credentials (uid, kind);

CREATE TABLE devices (
    device_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    uid INTEGER NOT NULL,
    provider VARCHAR(16) NOT NULL,
    app VARCHAR(64) DEFAULT '' NOT NULL,
    token TEXT NOT NULL,
    token_digest BLOB NOT NULL,
    device_type VARCHAR(16) DEFAULT '' NOT NULL,
    registered_at BIGINT NOT NULL,
    stale_at BIGINT,
    ended_at BIGINT,
    CONSTRAINT devices_token UNIQUE (provider, app, token_digest),
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX devices_ended ON devices (ended_at);
CREATE INDEX devices_uid ON devices (uid, ended_at);

CREATE TABLE events (
    uid INTEGER NOT NULL,
    event_id BIGINT NOT NULL,
    type VARCHAR(32) NOT NULL,
    at BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (uid, event_id),
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX events_at ON events (at);

CREATE TABLE messages (
    message_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    message_key VARCHAR(64) NOT NULL,
    sender_uid INTEGER,
    receiver_uid INTEGER,
    send_time BIGINT NOT NULL,
    exist INTEGER NOT NULL,
    filetype VARCHAR(16) NOT NULL,
    size BIGINT NOT NULL,
    sha256 BLOB NOT NULL,
    caption TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    recalled_at BIGINT,
    purge_at BIGINT,
    stored INTEGER NOT NULL,
    CONSTRAINT messages_key UNIQUE (message_key),
    FOREIGN KEY(sender_uid) REFERENCES users (uid),
    FOREIGN KEY(receiver_uid) REFERENCES users (uid)
);
CREATE INDEX messages_expiry ON messages (exist, expires_at);
CREATE INDEX messages_purge ON messages (purge_at);
CREATE INDEX messages_sender ON messages (sender_uid);
CREATE INDEX messages_sent ON messages (send_time);
CREATE INDEX messages_stored ON messages (stored, size);

CREATE TABLE phone_index (
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (version, digest),
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX phone_index_uid ON phone_index (uid);

CREATE TABLE deliveries (
    message_id INTEGER NOT NULL,
    receiver_uid INTEGER NOT NULL,
    sender_uid INTEGER,
    state VARCHAR(16) NOT NULL,
    consumed_at BIGINT,
    readable_until BIGINT,
    PRIMARY KEY (message_id, receiver_uid),
    FOREIGN KEY(message_id) REFERENCES messages (message_id),
    FOREIGN KEY(receiver_uid) REFERENCES users (uid),
    FOREIGN KEY(sender_uid) REFERENCES users (uid)
);
CREATE INDEX deliveries_from ON deliveries (receiver_uid, sender_uid, state, message_id);
CREATE INDEX deliveries_inbox ON deliveries (receiver_uid, state, message_id);

CREATE TABLE outbox (
    outbox_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind VARCHAR(32) NOT NULL,
    message_id INTEGER,
    device_id INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    give_up_at BIGINT NOT NULL,
    lease VARCHAR(32),
    reason VARCHAR(255) DEFAULT '' NOT NULL,
    settled_at BIGINT,
    FOREIGN KEY(message_id) REFERENCES messages (message_id),
    FOREIGN KEY(device_id) REFERENCES devices (device_id)
);
CREATE INDEX outbox_device ON outbox (device_id, outbox_id);
CREATE INDEX outbox_due ON outbox (state, next_at, outbox_id);
CREATE INDEX outbox_message ON outbox (message_id);
CREATE INDEX outbox_settled ON outbox (settled_at);
