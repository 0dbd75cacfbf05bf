-- SPDX-License-Identifier: Apache-2.0
-- What a report shows: a file of its own, which stays until the report is resolved, whatever becomes of the message.

-- [sqlite]

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

-- [mysql]

CREATE TABLE report_pictures (
    report_id BIGINT NOT NULL,
    picture_key VARCHAR(64) NOT NULL,
    filetype VARCHAR(16) NOT NULL,
    size BIGINT NOT NULL,
    sha256 BINARY(32) NOT NULL,
    purge_at BIGINT COMMENT 'when the file may go; null until the report is resolved',
    PRIMARY KEY (report_id),
    CONSTRAINT report_pictures_key UNIQUE (picture_key),
    FOREIGN KEY(report_id) REFERENCES reports (report_id),
    KEY report_pictures_purge (purge_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
