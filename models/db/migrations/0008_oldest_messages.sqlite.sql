-- SPDX-License-Identifier: Apache-2.0
-- The oldest messages without a file, and those with a file by their ids, are each a range of an index.

DROP INDEX messages_sent;

DROP INDEX messages_stored;

CREATE INDEX messages_stored ON messages (stored, message_id, size);

CREATE INDEX messages_oldest ON messages (stored, send_time);
