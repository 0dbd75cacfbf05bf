-- SPDX-License-Identifier: Apache-2.0
-- The oldest messages without a file, and those with a file by their ids, are each a range of an index.

-- [sqlite]

DROP INDEX messages_sent;

DROP INDEX messages_stored;

CREATE INDEX messages_stored ON messages (stored, message_id, size);

CREATE INDEX messages_oldest ON messages (stored, send_time);

-- [mysql]

ALTER TABLE messages
    DROP KEY messages_sent,
    DROP KEY messages_stored,
    ADD KEY messages_stored (stored, message_id, size),
    ADD KEY messages_oldest (stored, send_time);
