-- SPDX-License-Identifier: Apache-2.0
-- What a message says stands in the message alone: its events name it, and are rendered when they are read.

ALTER TABLE events ADD COLUMN message_id INTEGER;

UPDATE events SET message_id = json_extract(data, '$.message_id'), data = '{}'
WHERE type IN ('message', 'image') AND message_id IS NULL AND json_extract(data, '$.message_id') IS NOT NULL;
