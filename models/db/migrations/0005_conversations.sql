-- SPDX-License-Identifier: Apache-2.0
-- Who has spoken with whom and how far they have read. What was there before counts as read.

-- [sqlite]

ALTER TABLE users ADD COLUMN read_receipts INTEGER DEFAULT '1' NOT NULL;

CREATE TABLE conversations (
    uid INTEGER NOT NULL,
    peer_uid INTEGER NOT NULL,
    last_message_id BIGINT NOT NULL,
    read_up_to BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (uid, peer_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(peer_uid) REFERENCES users (uid)
);

CREATE INDEX conversations_last ON conversations (uid, last_message_id);

CREATE INDEX conversations_peer ON conversations (peer_uid);

INSERT INTO conversations (uid, peer_uid, last_message_id, read_up_to)
SELECT uid, peer_uid, MAX(message_id), MAX(message_id) FROM (
    SELECT sender_uid AS uid, receiver_uid AS peer_uid, message_id FROM messages
    UNION ALL
    SELECT receiver_uid, sender_uid, message_id FROM messages
) AS said WHERE uid IS NOT NULL AND peer_uid IS NOT NULL GROUP BY uid, peer_uid;

ALTER TABLE group_members ADD COLUMN last_message_id BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE group_members ADD COLUMN read_up_to BIGINT DEFAULT '0' NOT NULL;

CREATE INDEX group_members_last ON group_members (uid, last_message_id);

UPDATE group_members SET last_message_id = COALESCE((
    SELECT MAX(message_id) FROM messages
    WHERE messages.group_id = group_members.group_id AND messages.message_id > group_members.joined_after
), 0);

UPDATE group_members SET read_up_to = last_message_id;

-- [mysql]

ALTER TABLE users
    ADD COLUMN read_receipts INTEGER NOT NULL DEFAULT '1' COMMENT 'whether others learn what is read';

CREATE TABLE conversations (
    uid BIGINT NOT NULL,
    peer_uid BIGINT NOT NULL,
    last_message_id BIGINT NOT NULL COMMENT 'the newest between them that reached uid',
    read_up_to BIGINT NOT NULL DEFAULT '0' COMMENT 'a message_id',
    PRIMARY KEY (uid, peer_uid),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(peer_uid) REFERENCES users (uid),
    KEY conversations_last (uid, last_message_id),
    KEY conversations_peer (peer_uid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- A run that was killed behind this statement finds its rows.
INSERT IGNORE INTO conversations (uid, peer_uid, last_message_id, read_up_to)
SELECT uid, peer_uid, MAX(message_id), MAX(message_id) FROM (
    SELECT sender_uid AS uid, receiver_uid AS peer_uid, message_id FROM messages
    UNION ALL
    SELECT receiver_uid, sender_uid, message_id FROM messages
) AS said WHERE uid IS NOT NULL AND peer_uid IS NOT NULL GROUP BY uid, peer_uid;

ALTER TABLE group_members
    ADD COLUMN last_message_id BIGINT NOT NULL DEFAULT '0' COMMENT 'the newest that reached them',
    ADD COLUMN read_up_to BIGINT NOT NULL DEFAULT '0' COMMENT 'a message_id',
    ADD KEY group_members_last (uid, last_message_id);

UPDATE group_members SET last_message_id = COALESCE((
    SELECT MAX(message_id) FROM messages
    WHERE messages.group_id = group_members.group_id AND messages.message_id > group_members.joined_after
), 0);

UPDATE group_members SET read_up_to = last_message_id;
