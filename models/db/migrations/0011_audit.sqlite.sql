-- SPDX-License-Identifier: Apache-2.0
-- What operators have done, by command and on their page.

CREATE TABLE audit (
    audit_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    operator VARCHAR(64) NOT NULL,
    act VARCHAR(32) NOT NULL,
    about VARCHAR(255) NOT NULL
);

CREATE INDEX audit_age ON audit (at);
