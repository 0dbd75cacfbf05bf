-- SPDX-License-Identifier: Apache-2.0
-- What operators have done, by command and on their page.

-- [sqlite]

CREATE TABLE audit (
    audit_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    operator VARCHAR(64) NOT NULL,
    act VARCHAR(32) NOT NULL,
    about VARCHAR(255) NOT NULL
);

CREATE INDEX audit_age ON audit (at);

-- [mysql]

CREATE TABLE audit (
    audit_id BIGINT NOT NULL AUTO_INCREMENT,
    at BIGINT NOT NULL,
    operator VARCHAR(64) NOT NULL COMMENT 'the page, or ops and who typed it',
    act VARCHAR(32) NOT NULL COMMENT 'as in ops: users disable',
    about VARCHAR(255) NOT NULL COMMENT 'ids and counts: no number, no name',
    PRIMARY KEY (audit_id),
    KEY audit_age (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
