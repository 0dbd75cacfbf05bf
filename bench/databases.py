# SPDX-License-Identifier: Apache-2.0
"""Databases to measure on, what a server of several processes has used, and what its database has."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.targets import Target
from tests.support.mariadb import MariaDB

DATABASE = "glimpse_bench"
OPTIONS = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=256M")


@dataclass(frozen=True)
class Used:
    """Processor seconds of the server with its workers and of the database's own process, and statements asked."""

    server: float
    database: float = 0
    statements: int = 0

    def since(self, before: "Used") -> "Used":
        return Used(self.server - before.server, self.database - before.database, self.statements - before.statements)


@contextmanager
def mariadb(folder: Path) -> Iterator[MariaDB]:
    """A MariaDB server on this folder's disk, with an empty database; ended with the block."""
    # It runs as another user, who must come by.
    for place in (folder, folder.parent):
        place.chmod(place.stat().st_mode | 0o011)
    maria = MariaDB(*OPTIONS, parent=folder)
    try:
        with closing(maria.connect()) as connection:
            connection.query(f"CREATE DATABASE {DATABASE}")
        yield maria
    finally:
        maria.close()


def used(pid: int, maria: MariaDB | None) -> Used:
    """What the server with this process id, and its database, have used so far."""
    server = sum(Target(each, 0).cpu_seconds for each in (pid, *children(pid)))
    return Used(server, Target(maria.pid, 0).cpu_seconds, asked(maria)) if maria else Used(server)


def children(pid: int) -> list[int]:
    """Source: proc_pid_task(5)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def asked(maria: MariaDB) -> int:
    """How many statements clients have sent so far; commits are statements."""
    with closing(maria.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(cursor.fetchall()[0][1])
