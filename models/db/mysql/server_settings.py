# SPDX-License-Identifier: Apache-2.0
"""What a MySQL-protocol server is and how it is set up: whether it can serve, and whether commits survive a crash."""

import re
from dataclasses import dataclass

from models.db.database import DatabaseError
from models.db.mysql.connection import Connection, MysqlLocation, connect, is_mariadb, run_text

OLDEST = {True: (10, 6), False: (8, 0)}
"""By whether it is MariaDB: the first that can skip locked rows."""
SECONDS = 5.0
COMPATIBILITY = "5.5.5-"
"""What MariaDB says before its version, for replicas of MySQL that know no number like it:
https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/connection
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`cluster` is the state of a Galera node ("Synced"), empty where there is none."""

    version: str
    mariadb: bool
    flush_log_at_commit: int
    sync_binlog: int | None
    read_only: bool
    cluster: str

    @property
    def refusal(self) -> str:
        """Why this server cannot be used; empty when it can."""
        found = re.search(r"(\d+)\.(\d+)\.\d+" + ("-MariaDB" if self.mariadb else ""), self.version)
        oldest = OLDEST[self.mariadb]
        if found and (int(found[1]), int(found[2])) >= oldest:
            return ""
        name = "MariaDB" if self.mariadb else "MySQL"
        return f"the database server is {self.version}; it must be {name} {oldest[0]}.{oldest[1]} or newer"

    @property
    def warnings(self) -> list[str]:
        """What of its settings breaks a promise of ours."""
        found = []
        if self.flush_log_at_commit != 1:
            found.append(
                f"innodb_flush_log_at_trx_commit is {self.flush_log_at_commit}: what was accepted in the last second is"
                " lost in a crash; set it to 1"
            )
        if self.sync_binlog not in (None, 1):
            found.append(f"sync_binlog is {self.sync_binlog}: after a power cut replicas may differ; set it to 1")
        if self.read_only:
            found.append("it is read-only: nothing can be sent")
        return found


async def look(location: MysqlLocation) -> ServerFacts:
    """Ask the server. Raises Lost when it cannot be had now, DatabaseError when it does not let this user in."""
    connection = await connect(location)
    try:
        rows, _ = await run_text(
            connection,
            "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@global.read_only",
            SECONDS,
        )
        flush, logs, sync, read_only = rows[0]
        return ServerFacts(
            version=connection.get_server_info().removeprefix(COMPATIBILITY),
            mariadb=is_mariadb(connection),
            flush_log_at_commit=int(flush),
            sync_binlog=int(sync) if logs else None,
            read_only=bool(read_only),
            cluster=await _cluster(connection),
        )
    finally:
        connection.close()


async def _cluster(connection: Connection) -> str:
    rows, _ = await run_text(connection, "SHOW STATUS LIKE 'wsrep_local_state_comment'", SECONDS)
    on, _ = await run_text(connection, "SHOW VARIABLES LIKE 'wsrep_on'", SECONDS)
    return str(rows[0][1]) if rows and on and on[0][1] == "ON" else ""


async def check(location: MysqlLocation) -> list[str]:
    """Warnings about the server. Raises DatabaseError for one that cannot be used, and as `look` does."""
    facts = await look(location)
    if facts.refusal:
        raise DatabaseError(facts.refusal)
    return facts.warnings
