-- SPDX-License-Identifier: Apache-2.0
-- When the clock was last seen to be right, so that a start with a wrong one is noticed.

CREATE TABLE clock_sightings (
    sighting_id INTEGER NOT NULL,
    wall BIGINT NOT NULL,
    boot VARCHAR(64) NOT NULL,
    since_boot BIGINT NOT NULL,
    PRIMARY KEY (sighting_id)
);
