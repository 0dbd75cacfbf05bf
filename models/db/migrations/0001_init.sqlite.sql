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

CREATE TABLE budgets (
    key_digest BLOB NOT NULL,
    spent BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_digest)
);
CREATE INDEX budgets_expiry ON budgets (expires_at);

CREATE TABLE groups (
    group_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    room_gid VARCHAR(8) NOT NULL,
    name VARCHAR(64) NOT NULL,
    join_policy VARCHAR(8) NOT NULL,
    shared_history INTEGER DEFAULT '0' NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT groups_room_gid UNIQUE (room_gid)
);

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

CREATE TABLE servers (
    server_id VARCHAR(32) NOT NULL,
    key_generation BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    PRIMARY KEY (server_id)
);

CREATE TABLE users (
    uid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    nickname VARCHAR(64) NOT NULL,
    region_num VARCHAR(3),
    phone_cipher BLOB,
    email VARCHAR(254),
    login VARCHAR(64),
    password_hash VARCHAR(255),
    discoverable INTEGER DEFAULT '1' NOT NULL,
    terms_version VARCHAR(64),
    reg_time BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    disabled_at BIGINT,
    leaving_at BIGINT,
    event_seq BIGINT DEFAULT '0' NOT NULL,
    pending_count BIGINT DEFAULT '0' NOT NULL,
    pending_bytes BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT users_email UNIQUE (email),
    CONSTRAINT users_login UNIQUE (login)
);
CREATE INDEX users_leaving ON users (leaving_at);

CREATE TABLE blocks (
    uid INTEGER NOT NULL,
    blocked_uid INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (uid, blocked_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(blocked_uid) REFERENCES users (uid)
);
CREATE INDEX blocks_blocked ON blocks (blocked_uid);

CREATE TABLE chat_accounts (
    uid INTEGER NOT NULL,
    provider VARCHAR(16) NOT NULL,
    username VARCHAR(64) NOT NULL,
    created_at BIGINT,
    PRIMARY KEY (uid, provider),
    FOREIGN KEY(uid) REFERENCES users (uid)
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

CREATE TABLE friendships (
    uid INTEGER NOT NULL,
    other_uid INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (uid, other_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(other_uid) REFERENCES users (uid)
);
CREATE INDEX friendships_other ON friendships (other_uid);
CREATE INDEX friendships_state ON friendships (uid, state, other_uid);

CREATE TABLE group_members (
    group_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    role VARCHAR(8) NOT NULL,
    joined_at BIGINT NOT NULL,
    joined_after BIGINT NOT NULL,
    PRIMARY KEY (group_id, uid),
    FOREIGN KEY(group_id) REFERENCES groups (group_id),
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX group_members_uid ON group_members (uid, group_id);

CREATE TABLE messages (
    message_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind VARCHAR(16) DEFAULT 'image' NOT NULL,
    message_key VARCHAR(64),
    sender_uid INTEGER,
    receiver_uid INTEGER,
    group_id INTEGER,
    send_time BIGINT NOT NULL,
    exist INTEGER NOT NULL,
    filetype VARCHAR(16) NOT NULL,
    size BIGINT NOT NULL,
    sha256 BLOB,
    caption TEXT NOT NULL,
    body TEXT,
    expires_at BIGINT NOT NULL,
    recalled_at BIGINT,
    purge_at BIGINT,
    stored INTEGER NOT NULL,
    CONSTRAINT messages_key UNIQUE (message_key),
    FOREIGN KEY(sender_uid) REFERENCES users (uid),
    FOREIGN KEY(receiver_uid) REFERENCES users (uid)
);
CREATE INDEX messages_expiry ON messages (exist, expires_at);
CREATE INDEX messages_group ON messages (group_id, message_id);
CREATE INDEX messages_pair ON messages (sender_uid, receiver_uid, message_id);
CREATE INDEX messages_purge ON messages (purge_at);
CREATE INDEX messages_receiver ON messages (receiver_uid, message_id);
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

CREATE TABLE refresh_tokens (
    token_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    uid INTEGER NOT NULL,
    family VARCHAR(32) NOT NULL,
    digest BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    CONSTRAINT refresh_tokens_digest UNIQUE (digest),
    FOREIGN KEY(uid) REFERENCES users (uid)
);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family, token_id);
CREATE INDEX refresh_tokens_uid ON refresh_tokens (uid, used_at, token_id);

CREATE TABLE reports (
    report_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    reporter_uid INTEGER,
    reported_uid INTEGER,
    message_id INTEGER,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    resolved_at BIGINT,
    resolution VARCHAR(255) DEFAULT '' NOT NULL,
    FOREIGN KEY(reporter_uid) REFERENCES users (uid),
    FOREIGN KEY(reported_uid) REFERENCES users (uid)
);
CREATE INDEX reports_open ON reports (resolved_at, report_id);
CREATE INDEX reports_reported ON reports (reported_uid);
CREATE INDEX reports_reporter ON reports (reporter_uid);

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
CREATE INDEX deliveries_sender ON deliveries (sender_uid);

CREATE TABLE outbox (
    outbox_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind VARCHAR(32) NOT NULL,
    message_id INTEGER,
    device_id INTEGER NOT NULL,
    provider VARCHAR(16) NOT NULL,
    app VARCHAR(64) DEFAULT '' NOT NULL,
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
CREATE INDEX outbox_due ON outbox (state, provider, app, next_at, outbox_id);
CREATE INDEX outbox_message ON outbox (message_id);
CREATE INDEX outbox_settled ON outbox (settled_at);
