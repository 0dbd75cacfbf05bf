-- SPDX-License-Identifier: Apache-2.0
-- What a report shows: a file of its own, which stays until the report is resolved, whatever becomes of the message.

CREATE TABLE report_pictures (
    report_id INTEGER NOT NULL PRIMARY KEY,
    picture_key VARCHAR(64) NOT NULL,
    filetype VARCHAR(16) NOT NULL,
    size BIGINT NOT NULL,
    sha256 BLOB NOT NULL,
    purge_at BIGINT,
    CONSTRAINT report_pictures_key UNIQUE (picture_key),
    FOREIGN KEY(report_id) REFERENCES reports (report_id)
);

CREATE INDEX report_pictures_purge ON report_pictures (purge_at);
