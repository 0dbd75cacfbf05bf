-- SPDX-License-Identifier: Apache-2.0
-- When the clock was last seen to be right, so that a start with a wrong one is noticed.

-- [sqlite]

CREATE TABLE clock_sightings (
    sighting_id INTEGER NOT NULL,
    wall BIGINT NOT NULL,
    boot VARCHAR(64) NOT NULL,
    since_boot BIGINT NOT NULL,
    PRIMARY KEY (sighting_id)
);

-- [mysql]

CREATE TABLE clock_sightings (
    sighting_id INTEGER NOT NULL COMMENT '1: there is one row',
    wall BIGINT NOT NULL,
    boot VARCHAR(64) NOT NULL COMMENT 'the boot_id of the machine that saw it',
    since_boot BIGINT NOT NULL COMMENT 'milliseconds, by CLOCK_BOOTTIME of that machine',
    PRIMARY KEY (sighting_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
