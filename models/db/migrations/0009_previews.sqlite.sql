-- SPDX-License-Identifier: Apache-2.0
-- An image may have a preview, a file beside its own, and a placeholder for the time until either is there.

ALTER TABLE messages ADD COLUMN placeholder VARCHAR(64);

ALTER TABLE messages ADD COLUMN preview_type VARCHAR(16);

ALTER TABLE messages ADD COLUMN preview_size BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE messages ADD COLUMN preview_sha256 BLOB;

DROP INDEX messages_stored;

CREATE INDEX messages_stored ON messages (stored, message_id, size, preview_size);
