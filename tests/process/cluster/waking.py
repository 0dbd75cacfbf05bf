# SPDX-License-Identifier: Apache-2.0
"""How soon a reader on one machine has what another has committed, and that the death of `wake.url` costs time alone.

`python -m tests.process.cluster.waking [KILLS]`: two servers on one MariaDB, with a Valkey or Redis between them that
is killed so often (500) while events are written.
"""

import random
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from tests.support.harness import Person, Server, wait_until
from tests.support.mariadb import MariaDB
from tests.support.wake_server import WakeServer

DATABASE = "glimpse_waking"
EVENTS = 500
KILLS = 500
CONNECTED = "wake-ups from other machines come"
"""What a server says in its log."""


def follow(reader: Person, heard: dict[int, float], wrong: list[str], over: threading.Event) -> None:
    """Note when each event comes, by long poll."""
    cursor = 0
    while not over.is_set():
        items = reader.request("GET", "/v1/events", params={"after": cursor, "wait": 2}).json()["items"]
        for event in items:
            heard[event["id"]] = time.monotonic()
            if event["id"] != cursor + 1:
                wrong.append(f"after {cursor} came {event['id']}")
            cursor = event["id"]


def say(sender: Person, receiver: Person) -> float:
    """Write one event; when it was committed, as the writer is told."""
    body = {"kind": "text", "text": "x", "receiver_uid": receiver.uid}
    reply: httpx.Response = sender.request("POST", "/v1/messages", json=body)
    assert reply.status_code == 201, reply.text
    return time.monotonic()


def await_all(heard: dict[int, float], told: list[float]) -> None:
    """Until all that was told has come; what has not after a minute is counted as missed."""
    with suppress(AssertionError):
        wait_until(lambda: len(heard) >= len(told), what="every event")


def delays(what: str, told: list[float], heard: dict[int, float]) -> None:
    found = sorted(1000 * (heard[number] - at) for number, at in enumerate(told, 1) if number in heard)
    half, most = found[len(found) // 2], found[len(found) * 99 // 100]
    last = found[-1]
    print(f"{what}: {len(told)} events, half within {half:.0f} ms, 99 % within {most:.0f} ms, all within {last:.0f} ms")


def main() -> int:
    """0 when no event was missed."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        database, wake = MariaDB(), WakeServer()
        stack.callback(database.close)
        stack.callback(wake.close)
        database.connect().query(f"CREATE DATABASE {DATABASE}")
        shared = {
            **wake.settings,
            "database": {"url": database.url(DATABASE)},
            "storage": {"directory": str(folder / "images"), "min_free_bytes": 1},
            "limits": {"enabled": False},
        }
        servers: list[Server] = []
        for name in ("east", "west"):
            (folder / name / "data").mkdir(0o700, parents=True)
            server = Server(folder / name, shared)
            if servers:
                (server.data_dir / "keys.json").symlink_to(servers[0].data_dir / "keys.json")
            servers.append(server.start())
            stack.callback(server.stop)
        ann, ben, cem = (servers[0].register(name) for name in ("Ann", "Ben", "Cem"))
        over, wrong, heard, later = threading.Event(), list[str](), dict[int, float](), dict[int, float]()
        readers = [
            threading.Thread(target=follow, args=(replace(who, server=servers[1]), log, wrong, over))
            for who, log in ((ben, heard), (cem, later))
        ]
        for reader in readers:
            reader.start()
        wait_until(lambda: all(CONNECTED in server.log.read_text() for server in servers), what="both connections")
        told = []
        for _ in range(EVENTS):
            told.append(say(ann, ben))
            time.sleep(random.uniform(0, 0.03))
        await_all(heard, told)
        delays("while it lives", told, heard)
        told_later = []
        for _ in range(kills):
            wake.kill()
            told_later.append(say(ann, cem))
            wake.start()
            time.sleep(random.uniform(0, 0.3))
            told_later.append(say(ann, cem))
        await_all(later, told_later)
        over.set()
        for reader in readers:
            reader.join()
        delays(f"killed {kills} times", told_later, later)
        missed = len(told) - len(heard) + len(told_later) - len(later)
        lines = sum(server.log.read_text().count("no wake-ups") for server in servers)
        print(f"{missed} missed, {wrong or 'none'} out of order, {lines} lines in the logs of both")
        return int(bool(missed or wrong))


if __name__ == "__main__":
    sys.exit(main())
