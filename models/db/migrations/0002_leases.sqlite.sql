-- SPDX-License-Identifier: Apache-2.0
-- Several processes on one database: who does what for all of them, and which of them live.

CREATE TABLE leases (
    name VARCHAR(64) NOT NULL,
    holder VARCHAR(32) NOT NULL,
    renewals BIGINT NOT NULL,
    PRIMARY KEY (name)
);

ALTER TABLE servers ADD COLUMN beats BIGINT DEFAULT '0' NOT NULL;
