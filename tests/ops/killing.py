# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.ops.killing DATA_DIR DATABASE_URL`: rotate all keys in processes that die, at each boundary in turn.

Each child goes on with the rotation and is killed at its first pass of one fault point, until it is complete. They
are forked from here, where nothing else runs. The clock of each is 20 minutes ahead of the one before: no old token
is waited for. Prints, as JSON, where each child died.
"""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path

from models import fault
from models.clock import MINUTE_MS, now_ms
from models.db.database import Database
from models.db.engine import open_database, parse_url
from models.key_rotation import Kind
from services.maintenance.key_rotation import Rotation
from storage.ownership import is_owned

MOST = 60
RING, ROWS = ["before_ring_replaced", "after_ring_replaced"], ["before_commit", "after_commit"]


def turning(data_dir: Path, db: Database, ahead_ms: int = 0) -> Rotation:
    return Rotation(
        db=db,
        path=data_dir / "keys.json",
        server_runs=lambda: is_owned(data_dir),
        clock=lambda: now_ms() + ahead_ms,
        say=lambda _step, _done, _total: None,
    )


async def rotate(data_dir: Path, url: str, number: int) -> None:
    db = open_database(parse_url(url))
    await turning(data_dir, db, 20 * number * MINUTE_MS).run(list(Kind))
    await db.close()


async def is_under_way(data_dir: Path, url: str) -> bool:
    db = open_database(parse_url(url))
    planned = await turning(data_dir, db).dry_run(list(Kind))
    await db.close()
    return planned.resumed


def main(data_dir: Path, url: str) -> None:
    died: list[str] = []
    # The ring changes three times before the first row does; then rows and ring take turns.
    for number, point in enumerate(itertools.chain(3 * RING, itertools.cycle(ROWS + RING))):
        pid = os.fork()
        if not pid:
            fault._NAME = point
            asyncio.run(rotate(data_dir, url, number))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert not status or os.WIFSIGNALED(status), f"child {number} failed at {point}: {status}"
        assert number < MOST, "it does not get further"
        died += [point] if status else []
        if number and not asyncio.run(is_under_way(data_dir, url)):
            break
    print(json.dumps(died))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
