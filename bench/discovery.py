# SPDX-License-Identifier: Apache-2.0
"""Measures discovery over HTTP: 500 numbers of a contact list, half of them people, among a million people.

`python -m bench.discovery` prints a table. The people are written straight into the database file of a stopped
server; every request asks about other numbers and spends its budget with a durable write. Loopback only.
"""

import asyncio
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import apsw
import click

from bench.load import Connection
from bench.requests import call
from bench.targets import Target, busy_cores
from models.keys import KeyRing, open_key_ring
from tests.support.harness import Person, Server

SETTINGS = {
    "discovery": {"per_day": 10**9},
    "limits": {"rates": {"per_account": {"default": "1000000/minute"}, "per_address": {"default": "1000000/minute"}}},
    "storage": {"min_free_bytes": 1},
}
HASHES = 500
FIRST_NUMBER = 13_000_000_000
USER = "INSERT INTO users (nickname, region_num, phone_cipher, reg_time, seen_at) VALUES (?, '86', ?, 0, 0)"
NUMBER = "INSERT INTO phone_index (version, digest, uid) VALUES (?, ?, ?)"


def hash_of(index: int) -> str:
    """The phone hash of the person with this index; from the number of people on, of nobody."""
    return sha256(f"+86{FIRST_NUMBER + index}".encode()).hexdigest()


def fill(data_dir: Path, people: int) -> None:
    """Add so many people to a stopped server."""
    connection = apsw.Connection(str(data_dir / "glimpse.db"))
    [[cipher, last]] = connection.execute("SELECT phone_cipher, uid FROM users ORDER BY uid DESC LIMIT 1")
    keys = open_key_ring(data_dir / "keys.json", sealed=cipher)
    with connection:
        connection.executemany(USER, ((f"No. {index}", cipher) for index in range(people)))
        connection.executemany(NUMBER, _numbers(keys, people, last + 1))
    connection.close()


def _numbers(keys: KeyRing, people: int, first_uid: int) -> Iterator[tuple[int, bytes, int]]:
    digests = ((*keys.phone_digest(hash_of(index)), first_uid + index) for index in range(people))
    return iter(sorted(digests))  # a B-tree is filled fastest in its own order


def requests(person: Person, people: int, count: int) -> list[tuple[bytes, bytes]]:
    """Head and body of each request."""
    numbers = random.Random(count)
    found = []
    for _ in range(count):
        half = HASHES // 2
        wanted = [*numbers.sample(range(people), half), *(people + n for n in numbers.sample(range(10**8), half))]
        body = json.dumps({"phone_hashes": [hash_of(index) for index in wanted]}).encode()
        rest = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        found.append((call(person, "POST /v1/contacts/discover", rest).encode(), body))
    return found


async def ask(port: int, asked: Sequence[tuple[bytes, bytes]], connections: int) -> list[float]:
    """How long each request took, in milliseconds, with so many under way."""
    loop = asyncio.get_running_loop()
    waiting, took = iter(asked), []

    async def one_after_another() -> None:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        for head, body in waiting:
            began = perf_counter()
            reply = await connection.ask(head, body)
            took.append((perf_counter() - began) * 1000)
            if not reply.startswith(b"HTTP/1.1 200"):
                raise ValueError(f"discovery was answered {reply[:300]!r}")
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_after_another())
    return took


def measure(server: Server, person: Person, people: int, count: int, connections: int) -> str:
    """One line of the table."""
    assert server.process
    glimpse, asked = Target(server.process.pid, server.port), requests(person, people, count + connections)
    before, began = glimpse.cpu_seconds, perf_counter()
    took = asyncio.run(ask(server.port, asked, connections))
    seconds, cpu_ms = perf_counter() - began, (glimpse.cpu_seconds - before) * 1000 / len(took)
    cuts = quantiles(took, n=100)
    rate = len(took) / seconds
    return f"| {connections} | {len(took)} | {cuts[49]:.2f} | {cuts[98]:.2f} | {cpu_ms:.2f} | {rate:.0f} |"


@click.command()
@click.option("--people", default=1_000_000, show_default=True)
@click.option("--count", default=1000, show_default=True, help="Requests of each line.")
def main(people: int, count: int) -> None:
    """Fill a database, ask, and print what it took."""
    with ExitStack() as stack:
        server = Server(Path(stack.enter_context(tempfile.TemporaryDirectory())), SETTINGS).start()
        person = server.register("Ann")
        server.stop()
        began = perf_counter()
        fill(server.data_dir, people)
        size_mb = (server.data_dir / "glimpse.db").stat().st_size / 1e6
        click.echo(f"{people} people in {perf_counter() - began:.0f} s, {size_mb:.0f} MB", err=True)
        click.echo(f"Other work keeps {busy_cores():.2f} cores busy.", err=True)
        server.start()
        stack.callback(server.stop)
        click.echo("| connections | requests | p50 ms | p99 ms | CPU ms | requests/s |\n|---|---|---|---|---|---|")
        for connections in (1, 8):
            click.echo(measure(server, person, people, count, connections))


if __name__ == "__main__":
    main()
