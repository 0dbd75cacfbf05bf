-- SPDX-License-Identifier: Apache-2.0
-- An image may have a preview, a file beside its own, and a placeholder for the time until either is there.

-- [sqlite]

ALTER TABLE messages ADD COLUMN placeholder VARCHAR(64);

ALTER TABLE messages ADD COLUMN preview_type VARCHAR(16);

ALTER TABLE messages ADD COLUMN preview_size BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE messages ADD COLUMN preview_sha256 BLOB;

DROP INDEX messages_stored;

CREATE INDEX messages_stored ON messages (stored, message_id, size, preview_size);

-- [mysql]

ALTER TABLE messages
    ADD COLUMN placeholder VARCHAR(64) COMMENT 'ThumbHash, base64',
    ADD COLUMN preview_type VARCHAR(16) COMMENT 'a filetype; null without a preview, and when its file is removed',
    ADD COLUMN preview_size BIGINT NOT NULL DEFAULT '0',
    ADD COLUMN preview_sha256 BINARY(32),
    DROP KEY messages_stored,
    ADD KEY messages_stored (stored, message_id, size, preview_size);
