# SPDX-License-Identifier: Apache-2.0
"""A server that is killed again and again under load: `python -m tests.process.killing [KILLS] [--mariadb]`.

`make prove-kills` does it 200 times on SQLite, and 50 times on MariaDB; the suite a few times. After each kill the
files and the database are judged, in the end what people were told; every 50 kills another server begins.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import click

from tests.process.invariants import check_database, end_well, logged_pushes, orphans, pushes_due
from tests.process.writers import FILES_OF_A_WRITER, SETTINGS, WRITERS, Crowd
from tests.support import engines
from tests.support.harness import Server, wait_until

OF_ONE_SERVER = 50
"""Kills: each time every file is read, and there are more each time."""


@dataclass(frozen=True, slots=True)
class Survived:
    """What there was, in numbers. That nothing was lost or doubled is why there is one."""

    crashes: int = 0
    accepted: int = 0
    uploads: int = 0
    acknowledged: int = 0
    pushed: int = 0
    asked_again: int = 0
    swept: int = 0

    def __add__(self, other: "Survived") -> "Survived":
        return Survived(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __str__(self) -> str:
        return (
            f"{self.crashes} times under {WRITERS} writers: {self.accepted} images accepted, {self.uploads} of them in"
            f" pieces, {self.acknowledged} acknowledged, {self.pushed} pushes, {self.asked_again} requests asked again,"
            f" {self.swept} files without a row swept; 0 lost, 0 doubled"
        )


def survived(crowd: Crowd, crashes: int, pushed: int, swept: int) -> Survived:
    told = crowd.told
    return Survived(
        crashes, len(told.accepted), crowd.uploads, len(told.acknowledged), pushed, crowd.asked_again, swept
    )


def killed_again_and_again(server: Server, kills: int) -> Survived:
    """SIGKILL so many times while people write. The server is stopped then. Raises AssertionError for what is lost."""
    server.start()
    crowd, left = Crowd(server), 0
    with crowd.writing():
        for _ in range(kills):
            crowd.wait_for_progress()
            server.kill()
            check_database(server.data_dir, in_flight=left + FILES_OF_A_WRITER * WRITERS)
            left = len(orphans(server.data_dir))
            server.start()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    found = survived(crowd, kills, len(logged_pushes(server.data_dir)), len(orphans(server.data_dir)))
    end_well(server, crowd.ben, crowd.told)
    return found


def in_parts(count: int, most: int) -> Iterator[int]:
    """So many in parts of at most so many."""
    while count > 0:
        yield min(count, most)
        count -= most


@click.command()
@click.argument("kills", default=200)
@click.option("--mariadb", is_flag=True, help="not on SQLite")
def main(*, kills: int, mariadb: bool) -> None:
    """Kill a server so many times."""
    engines.use("mariadb" if mariadb else "sqlite")
    found = Survived()
    for part in in_parts(kills, OF_ONE_SERVER):
        with tempfile.TemporaryDirectory() as name:
            server = Server(Path(name), SETTINGS)
            found += killed_again_and_again(server, part)
            assert server.failures() == []
            engines.release(Path(name))
        click.echo(f"killed {found}")


if __name__ == "__main__":
    main()
