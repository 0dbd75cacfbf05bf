-- SPDX-License-Identifier: Apache-2.0
-- What a message says stands in the message alone: its events name it, and are rendered when they are read.

-- [sqlite]

ALTER TABLE events ADD COLUMN message_id INTEGER;

UPDATE events SET message_id = json_extract(data, '$.message_id'), data = '{}'
WHERE type IN ('message', 'image') AND message_id IS NULL AND json_extract(data, '$.message_id') IS NOT NULL;

-- [mysql]

ALTER TABLE events
    ADD COLUMN message_id BIGINT COMMENT 'whose event is rendered out of the message when it is read; outlives it',
    MODIFY COLUMN data MEDIUMTEXT NOT NULL COMMENT 'JSON; {} where the message says it all';

-- A run that was killed behind this statement meets rows that have none of it left to read.
UPDATE events SET message_id = CAST(JSON_EXTRACT(data, '$.message_id') AS SIGNED), data = '{}'
WHERE type IN ('message', 'image') AND message_id IS NULL AND JSON_EXTRACT(data, '$.message_id') IS NOT NULL;
