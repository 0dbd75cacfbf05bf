-- SPDX-License-Identifier: Apache-2.0
-- The schema of the first release. A statement ends with a semicolon at the end of a line.

-- [sqlite]

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

-- [mysql]

CREATE TABLE activations (
    activation_id VARCHAR(32) NOT NULL,
    phone_digest BINARY(32) NOT NULL COMMENT 'the phone_index digest, for budgets',
    phone_cipher BLOB(128) NOT NULL,
    nickname VARCHAR(64) NOT NULL,
    cid TEXT,
    push_provider VARCHAR(16) NOT NULL DEFAULT '',
    device_type VARCHAR(16) NOT NULL DEFAULT '',
    terms_version VARCHAR(64),
    code_hmac BINARY(32) NOT NULL,
    attempts_left INTEGER NOT NULL,
    sends INTEGER NOT NULL,
    resend_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (activation_id),
    KEY activations_expiry (expires_at),
    KEY activations_phone (phone_digest, created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE budgets (
    key_digest BINARY(32) NOT NULL COMMENT 'SHA-256 over what is counted, for whom, and its window',
    spent BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_digest),
    KEY budgets_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE `groups` (
    group_id BIGINT NOT NULL AUTO_INCREMENT,
    room_gid VARCHAR(8) NOT NULL COMMENT 'for sharing',
    name VARCHAR(64) NOT NULL,
    join_policy VARCHAR(8) NOT NULL COMMENT 'invite | open',
    shared_history INTEGER NOT NULL COMMENT '1: a room, where whoever comes in reads what was said before' DEFAULT '0',
    created_at BIGINT NOT NULL,
    PRIMARY KEY (group_id),
    CONSTRAINT groups_room_gid UNIQUE (room_gid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE idempotency (
    key_digest BINARY(32) NOT NULL COMMENT 'SHA-256 over operation, caller and key',
    request_digest BINARY(32) NOT NULL,
    uid BIGINT COMMENT 'whose reply it is, for erasure',
    reply TEXT NOT NULL COMMENT 'JSON, never a secret',
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_digest),
    KEY idempotency_expiry (expires_at),
    KEY idempotency_uid (uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE servers (
    server_id VARCHAR(32) NOT NULL,
    key_generation BIGINT NOT NULL COMMENT 'of the key ring that it goes by',
    started_at BIGINT NOT NULL,
    PRIMARY KEY (server_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE users (
    uid BIGINT NOT NULL AUTO_INCREMENT,
    nickname VARCHAR(64) NOT NULL,
    region_num VARCHAR(3),
    phone_cipher BLOB(128) COMMENT 'E.164 under the key ring',
    email VARCHAR(254) COMMENT 'folded',
    login VARCHAR(64) COMMENT 'folded',
    password_hash VARCHAR(255) COMMENT 'argon2id, as argon2-cffi writes it',
    discoverable INTEGER NOT NULL DEFAULT '1',
    terms_version VARCHAR(64),
    reg_time BIGINT NOT NULL,
    seen_at BIGINT NOT NULL COMMENT 'last day of authentication; recycled numbers',
    disabled_at BIGINT,
    leaving_at BIGINT COMMENT 'the account is being erased; whoever finds it so goes on with that',
    event_seq BIGINT NOT NULL DEFAULT '0',
    pending_count BIGINT NOT NULL DEFAULT '0',
    pending_bytes BIGINT NOT NULL DEFAULT '0',
    PRIMARY KEY (uid),
    CONSTRAINT users_email UNIQUE (email),
    CONSTRAINT users_login UNIQUE (login),
    KEY users_leaving (leaving_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE blocks (
    uid BIGINT NOT NULL,
    blocked_uid BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (uid, blocked_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(blocked_uid) REFERENCES users (uid),
    KEY blocks_blocked (blocked_uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE chat_accounts (
    uid BIGINT NOT NULL,
    provider VARCHAR(16) NOT NULL,
    username VARCHAR(64) NOT NULL COMMENT 'random; what the hosted service knows the person by',
    created_at BIGINT COMMENT 'null until the service has the account',
    PRIMARY KEY (uid, provider),
    FOREIGN KEY(uid) REFERENCES users (uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE credentials (
    credential_id BIGINT NOT NULL AUTO_INCREMENT,
    uid BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    digest BINARY(32) NOT NULL COMMENT 'SHA-256 of a ukey',
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (credential_id),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY credentials_expiry (expires_at),
    KEY credentials_uid (uid, kind)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE devices (
    device_id BIGINT NOT NULL AUTO_INCREMENT,
    uid BIGINT NOT NULL,
    provider VARCHAR(16) NOT NULL,
    app VARCHAR(64) NOT NULL DEFAULT '',
    token TEXT NOT NULL,
    token_digest BINARY(32) NOT NULL,
    device_type VARCHAR(16) NOT NULL DEFAULT '',
    registered_at BIGINT NOT NULL COMMENT 'when this token came; guards a late ''gone''',
    stale_at BIGINT COMMENT 'the provider took a push but will not send it',
    ended_at BIGINT COMMENT 'token gone, moved or account retrieved: no new pushes',
    PRIMARY KEY (device_id),
    CONSTRAINT devices_token UNIQUE (provider, app, token_digest),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY devices_ended (ended_at),
    KEY devices_uid (uid, ended_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE events (
    uid BIGINT NOT NULL,
    event_id BIGINT NOT NULL COMMENT 'this person''s own 1, 2, 3 …',
    type VARCHAR(32) NOT NULL,
    at BIGINT NOT NULL,
    data MEDIUMTEXT NOT NULL COMMENT 'JSON, in ASCII',
    PRIMARY KEY (uid, event_id),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY events_at (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE friendships (
    uid BIGINT NOT NULL,
    other_uid BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL COMMENT 'friends | incoming | outgoing, as uid sees it',
    since BIGINT NOT NULL,
    PRIMARY KEY (uid, other_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(other_uid) REFERENCES users (uid),
    KEY friendships_other (other_uid),
    KEY friendships_state (uid, state, other_uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE group_members (
    group_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    `role` VARCHAR(8) NOT NULL COMMENT 'owner | admin | member',
    joined_at BIGINT NOT NULL,
    joined_after BIGINT NOT NULL COMMENT 'the group''s newest message_id then, 0 for none',
    PRIMARY KEY (group_id, uid),
    FOREIGN KEY(group_id) REFERENCES `groups` (group_id),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY group_members_uid (uid, group_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE messages (
    message_id BIGINT NOT NULL AUTO_INCREMENT,
    kind VARCHAR(16) NOT NULL COMMENT 'image | text | image_link | video_link' DEFAULT 'image',
    message_key VARCHAR(64) COMMENT 'of an image',
    sender_uid BIGINT COMMENT 'null when the sender''s account is gone',
    receiver_uid BIGINT COMMENT 'null when it is for a group',
    group_id BIGINT COMMENT 'outlives the group',
    send_time BIGINT NOT NULL,
    exist INTEGER NOT NULL COMMENT '0 when nobody is left to fetch it',
    filetype VARCHAR(16) NOT NULL,
    size BIGINT NOT NULL,
    sha256 BINARY(32),
    caption TEXT NOT NULL,
    body TEXT COMMENT 'of what is no image: JSON',
    expires_at BIGINT NOT NULL,
    recalled_at BIGINT,
    purge_at BIGINT COMMENT 'when the file may go; null while somebody may fetch it, and when it is gone',
    `stored` INTEGER NOT NULL COMMENT '0 when the file is removed',
    PRIMARY KEY (message_id),
    CONSTRAINT messages_key UNIQUE (message_key),
    FOREIGN KEY(sender_uid) REFERENCES users (uid),
    FOREIGN KEY(receiver_uid) REFERENCES users (uid),
    KEY messages_expiry (exist, expires_at),
    KEY messages_group (group_id, message_id),
    KEY messages_pair (sender_uid, receiver_uid, message_id),
    KEY messages_purge (purge_at),
    KEY messages_receiver (receiver_uid, message_id),
    KEY messages_sent (send_time),
    KEY messages_stored (`stored`, size)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE phone_index (
    version INTEGER NOT NULL COMMENT 'of the pepper',
    digest BINARY(32) NOT NULL COMMENT 'HMAC-SHA256(pepper, phone_hash)',
    uid BIGINT NOT NULL,
    PRIMARY KEY (version, digest),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY phone_index_uid (uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE refresh_tokens (
    token_id BIGINT NOT NULL AUTO_INCREMENT,
    uid BIGINT NOT NULL,
    family VARCHAR(32) NOT NULL COMMENT 'all tokens that one login has led to',
    digest BINARY(32) NOT NULL COMMENT 'SHA-256 of the token',
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT COMMENT 'when it was exchanged for its successor',
    PRIMARY KEY (token_id),
    CONSTRAINT refresh_tokens_digest UNIQUE (digest),
    FOREIGN KEY(uid) REFERENCES users (uid),
    KEY refresh_tokens_expiry (expires_at),
    KEY refresh_tokens_family (family, token_id),
    KEY refresh_tokens_uid (uid, used_at, token_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE reports (
    report_id BIGINT NOT NULL AUTO_INCREMENT,
    reporter_uid BIGINT COMMENT 'null when the reporter''s account is gone',
    reported_uid BIGINT COMMENT 'null when the reported account is gone',
    message_id BIGINT COMMENT 'outlives the message',
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    resolved_at BIGINT,
    resolution VARCHAR(255) NOT NULL DEFAULT '',
    PRIMARY KEY (report_id),
    FOREIGN KEY(reporter_uid) REFERENCES users (uid),
    FOREIGN KEY(reported_uid) REFERENCES users (uid),
    KEY reports_open (resolved_at, report_id),
    KEY reports_reported (reported_uid),
    KEY reports_reporter (reporter_uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE deliveries (
    message_id BIGINT NOT NULL,
    receiver_uid BIGINT NOT NULL,
    sender_uid BIGINT,
    state VARCHAR(16) NOT NULL,
    consumed_at BIGINT,
    readable_until BIGINT COMMENT 'end of the grace after consumption',
    PRIMARY KEY (message_id, receiver_uid),
    FOREIGN KEY(message_id) REFERENCES messages (message_id),
    FOREIGN KEY(receiver_uid) REFERENCES users (uid),
    FOREIGN KEY(sender_uid) REFERENCES users (uid),
    KEY deliveries_from (receiver_uid, sender_uid, state, message_id),
    KEY deliveries_inbox (receiver_uid, state, message_id),
    KEY deliveries_sender (sender_uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE outbox (
    outbox_id BIGINT NOT NULL AUTO_INCREMENT,
    kind VARCHAR(32) NOT NULL COMMENT 'message | account_retrieved',
    message_id BIGINT,
    device_id BIGINT NOT NULL,
    provider VARCHAR(16) NOT NULL COMMENT 'the device''s, so that each is claimed for itself',
    app VARCHAR(64) NOT NULL DEFAULT '',
    state VARCHAR(16) NOT NULL COMMENT 'due | delivered | dropped | dead',
    attempts INTEGER NOT NULL DEFAULT '0',
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL COMMENT 'when it may be claimed; a lease moves it on',
    give_up_at BIGINT NOT NULL,
    lease VARCHAR(32) COMMENT 'who may settle it',
    reason VARCHAR(255) NOT NULL DEFAULT '',
    settled_at BIGINT,
    PRIMARY KEY (outbox_id),
    FOREIGN KEY(message_id) REFERENCES messages (message_id),
    FOREIGN KEY(device_id) REFERENCES devices (device_id),
    KEY outbox_device (device_id, outbox_id),
    KEY outbox_due (state, provider, app, next_at, outbox_id),
    KEY outbox_message (message_id),
    KEY outbox_settled (settled_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
