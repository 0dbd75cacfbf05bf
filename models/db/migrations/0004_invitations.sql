-- SPDX-License-Identifier: Apache-2.0
-- Nobody is in a group unasked: who is named for one is invited, and comes in by their own word.

-- [sqlite]

CREATE TABLE invitations (
    invitation_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    role VARCHAR(8) NOT NULL,
    invited_by INTEGER,
    invited_at BIGINT NOT NULL,
    CONSTRAINT invitations_group UNIQUE (group_id, uid),
    FOREIGN KEY(group_id) REFERENCES groups (group_id),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(invited_by) REFERENCES users (uid)
);
CREATE INDEX invitations_age ON invitations (invited_at);
CREATE INDEX invitations_by ON invitations (invited_by);
CREATE INDEX invitations_uid ON invitations (uid, group_id);

-- [mysql]

CREATE TABLE invitations (
    invitation_id BIGINT NOT NULL AUTO_INCREMENT,
    group_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    role VARCHAR(8) NOT NULL COMMENT 'admin | member, once they have said yes',
    invited_by BIGINT COMMENT 'null when that account is gone',
    invited_at BIGINT NOT NULL,
    PRIMARY KEY (invitation_id),
    FOREIGN KEY(group_id) REFERENCES `groups` (group_id),
    FOREIGN KEY(uid) REFERENCES users (uid),
    FOREIGN KEY(invited_by) REFERENCES users (uid),
    UNIQUE KEY invitations_group (group_id, uid),
    KEY invitations_age (invited_at),
    KEY invitations_by (invited_by),
    KEY invitations_uid (uid, group_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
