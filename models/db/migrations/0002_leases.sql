-- SPDX-License-Identifier: Apache-2.0
-- Several processes on one database: who does what for all of them, and which of them live.

-- [sqlite]

CREATE TABLE leases (
    name VARCHAR(64) NOT NULL,
    holder VARCHAR(32) NOT NULL,
    renewals BIGINT NOT NULL,
    PRIMARY KEY (name)
);

ALTER TABLE servers ADD COLUMN beats BIGINT DEFAULT '0' NOT NULL;

-- [mysql]

CREATE TABLE leases (
    name VARCHAR(64) NOT NULL COMMENT 'of the work that one process does for all',
    holder VARCHAR(32) NOT NULL COMMENT 'random, another each time that it is taken',
    renewals BIGINT NOT NULL COMMENT 'counted up as long as its holder lives',
    PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

ALTER TABLE servers ADD COLUMN beats BIGINT NOT NULL DEFAULT '0' COMMENT 'counted up as long as it lives';
