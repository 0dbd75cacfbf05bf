# SPDX-License-Identifier: Apache-2.0
"""A restart under load (`make prove-restart`): nobody is refused, cut off or forgotten, readers come back one by one.

`python -m tests.process.restarting [READERS]`: 200 requests a second, 50 uploads under way, 2,000 readers of events.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import uvloop

from services.events import READERS_PER_PERSON
from tests.process.generations import Load, Whole, whole

READERS = 2000
REQUESTERS = 60
PACE = 0.28
"""214 requests a second: also those who are late are among the 200 then."""
UPLOADS = 50
BEFORE_SECONDS = 10.0
AFTER_SECONDS = 15.0
"""All readers are to be back within ten."""
SETTINGS: dict[str, Any] = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 10**6, "max_pending_bytes": 10**12},
    "storage": {"min_free_bytes": 1},
    "events": {"max_readers": 10_000},
    "server": {"max_connections": 8000},
}


async def restarted(server: Whole, readers: int) -> tuple[Load, float]:
    """The load, when it has ended, and the seconds that the new generation took to come up."""
    people = [server.register(f"P{number}") for number in range(readers // READERS_PER_PERSON + 1)]
    load = Load(server, people, requesters=REQUESTERS, pace=PACE)
    running = asyncio.create_task(load.run(UPLOADS, readers))
    await load.until(lambda: load.met.following == readers, "all readers")
    await asyncio.sleep(BEFORE_SECONDS)
    answered, began, load.met.longest_wait = load.met.answered, monotonic(), 0.0
    seconds = await asyncio.to_thread(server.restart)
    load.restarted_at = monotonic()
    await asyncio.sleep(AFTER_SECONDS)
    rate = (load.met.answered - answered) / (monotonic() - began)
    print(f"{rate:.0f} requests/s, {UPLOADS} uploads and {readers} readers, through a restart of {seconds:.1f} s")
    print(f"the longest wait for an answer: {load.met.longest_wait:.1f} s")
    load.stop.set()
    await running
    return load, seconds


def seconds_of_two(server: Whole) -> float:
    """For how long the last two generations both accepted and relayed: on SQLite, what one process does alone."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.endswith("}")]
    last = {line["event"]: datetime.fromisoformat(line["timestamp"]) for line in lines}
    return (
        last["another generation serves: what was taken is finished"] - last["the server has started"]
    ).total_seconds()


def main() -> int:
    """0 when nobody noticed anything."""
    readers = int(sys.argv[1]) if len(sys.argv) > 1 else READERS
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with TemporaryDirectory() as folder, whole(Whole(Path(folder), SETTINGS)) as server:
        load, _ = uvloop.run(restarted(server, readers))
        failures, of_two = server.failures(), seconds_of_two(server)
    print(f"lock and leader moved within {1000 * of_two:.0f} ms")
    met = load.met
    lost = set(met.sent) - met.seen
    back = sorted(met.back)
    print(f"{met.answered} answers, {len(met.sent)} images sent, {len(lost)} of which nobody was told")
    with suppress(IndexError):
        print(f"readers back: {len(back)}, half after {back[len(back) // 2]:.1f} s, the last after {back[-1]:.1f} s")
    print(f"wrong: {dict(Counter(met.wrong)) or 'nothing'}; failures in the log: {len(failures)}")
    return int(bool(met.wrong or lost or failures) or len(back) < readers)


if __name__ == "__main__":
    sys.exit(main())
