# SPDX-License-Identifier: Apache-2.0
"""What sending, the inbox, fetching and claiming cost beside a thousand, a hundred thousand, a million messages.

`python -m bench.growth` prints processor time per operation on each engine, and its ratio to that of the smallest.
The rest of the database grows with the messages: people, devices, deliveries, events, notifications. Each figure is the
least of three: what else the machine does can only add to it.
"""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from time import process_time

import apsw
import click

from bench import load
from bench.databases import DATABASE, mariadb, used
from bench.requests import fetch, inbox, send
from bench.targets import busy_cores
from models.clock import DAY_MS, now_ms
from models.db.database import Transaction
from models.db.engine import Location, bring_up_to_date, open_database, parse_url
from models.db.mysql import table_sets as mysql_tables
from models.db.sqlite import copy as sqlite_copy
from models.db.tables import outbox
from tests.support.harness import Server, running
from tests.support.mariadb import MariaDB
from tests.support.pictures import jpeg

IMAGE_BYTES = 20_000
CONNECTIONS = 4
MESSAGES_PER_PERSON = 10
CLAIMS, CLAIMED = 30, 100
ROUNDS = 3
LANE = ("bench", "")
SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 10**6, "max_pending_bytes": 10**12},
    "samples": {"enabled": False},
    "storage": {"min_free_bytes": 1},
    "retention": {"interval_seconds": 3600},
}
# `{digest}` and `{key}`: 32 bytes, and 64 characters, that no other row has.
FILLING = """
INSERT INTO users (uid, nickname, region_num, reg_time, seen_at, event_seq) SELECT seq, 'x', '86', 1, 1, 1 {people};
INSERT INTO phone_index (version, digest, uid) SELECT 1, {digest}, seq {people};
INSERT INTO credentials (uid, kind, digest, created_at) SELECT seq, 'ukey', {digest}, 1 {people};
INSERT INTO devices (device_id, uid, provider, token, token_digest, registered_at)
    SELECT seq, seq, 'log', 'x', {digest}, 1 {people};
INSERT INTO messages (message_id, message_key, sender_uid, receiver_uid, send_time, exist, filetype, size, sha256,
    caption, expires_at, stored)
    SELECT seq, {key}, {sender}, {receiver}, {now} - seq, 0, 'jpeg', 350000, {digest}, '', {now} + 1000000000, 0
    {messages};
INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state, consumed_at)
    SELECT seq, {receiver}, {sender}, 'consumed', {now} {messages};
INSERT INTO events (uid, event_id, type, at, data) SELECT {receiver}, seq, 'image', {now} - seq, '{{}}' {messages};
INSERT INTO outbox (kind, message_id, device_id, provider, app, state, attempts, created_at, next_at, give_up_at,
    settled_at)
    SELECT 'message', seq, {receiver}, 'log', '', 'delivered', 1, {now} - seq, {now} - seq, {now}, {now} {messages};
DELETE FROM outbox WHERE provider = 'bench';
INSERT INTO outbox (kind, message_id, device_id, provider, app, state, created_at, next_at, give_up_at)
    SELECT 'message', 1 + seq % 1000, 1 + seq % 100, 'bench', '', 'due', {now}, {now}, {now} + 1000000000 {due}
"""


def filling(numbers: Callable[[int, int], str], digest: str, key: str, first: int, last: int) -> list[str]:
    """The statements that add messages number `first` to `last`; `numbers` is a FROM of a column `seq`."""
    people = (first - 1) // MESSAGES_PER_PERSON + 1, last // MESSAGES_PER_PERSON
    count = people[1]
    words = {
        "digest": digest,
        "key": key,
        "now": now_ms(),
        "people": numbers(*people),
        "messages": numbers(first, last),
        "due": numbers(1, 2 * ROUNDS * CLAIMS * CLAIMED),
        "sender": f"1 + seq * 7 % {count}",
        "receiver": f"1 + (seq * 7 + 1 + seq % 3) % {count}",
    }
    return FILLING.format(**words).split(";")


def fill_sqlite(path: Path, first: int, last: int) -> None:
    def numbers(start: int, end: int) -> str:
        counted = f"SELECT {start} UNION ALL SELECT seq + 1 FROM n WHERE seq < {end}"
        return f"FROM (WITH RECURSIVE n(seq) AS ({counted}) SELECT seq FROM n)"

    with closing(apsw.Connection(str(path))) as connection:
        for text in filling(numbers, "randomblob(32)", "lower(hex(randomblob(32)))", first, last):
            connection.execute(text)
        connection.pragma("wal_checkpoint(truncate)")


def fill_mariadb(maria: MariaDB, first: int, last: int) -> None:
    def numbers(start: int, end: int) -> str:
        return f"FROM seq_{start}_to_{end}"

    digest, key = "UNHEX(SHA2(UUID(), 256))", "SHA2(UUID(), 256)"
    with closing(maria.connect(DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
        for text in filling(numbers, digest, key, first, last):
            cursor.execute(text)
        cursor.execute("ANALYZE TABLE users, messages, deliveries, events, outbox, devices")


async def _prepare(location: Location) -> None:
    """An empty database whose own ids begin behind those that it is filled with."""
    await bring_up_to_date(location)
    if isinstance(location, Path):
        sqlite_copy.skip_ids(location)
    else:
        await mysql_tables.skip_ids(location)


def measure(server: Server, maria: MariaDB | None, pool: ProcessPoolExecutor, seconds: float) -> dict[str, float]:
    """Milliseconds of processor time per operation, server and database together."""
    assert server.process
    pairs = [(server.register(), server.register()) for _ in range(CONNECTIONS)]
    picture = jpeg(IMAGE_BYTES)

    def spent(operation: str, loads: list[tuple[load.Request, Sequence[str]]], **how: float) -> list[list[str]]:
        assert server.process
        before = used(server.process.pid, maria)
        done = pool.submit(load.run_each, server.port, loads, **how).result()  # type: ignore[arg-type]
        passed = used(server.process.pid, maria).since(before)
        found[operation] = 1000 * (passed.server + passed.database) / sum(len(each.passes_ms) for each in done)
        return [each.names for each in done]

    found: dict[str, float] = {}
    warm = pool.submit(load.run_each, server.port, [(send(ann, ann, picture), ()) for ann, _ in pairs], seconds=1.0)
    warm.result()
    keys = spent("send", [(send(ann, ben, picture), ()) for ann, ben in pairs], seconds=seconds)
    spent("inbox", [(inbox(ben), ()) for _, ben in pairs], seconds=seconds)
    spent("fetch", [(fetch(ben), each) for (_, ben), each in zip(pairs, keys, strict=True)])
    return found


async def claim(location: Location, maria: MariaDB | None) -> float:
    """Milliseconds of processor time for a claim of a hundred, ours and the database's; the median of thirty."""
    db = open_database(location)
    took = []
    for number in range(CLAIMS):

        async def unit(tx: Transaction, lease: str = f"{now_ms()}-{number}") -> int:
            now = now_ms()
            return len(await outbox.claim(tx, lane=LANE, now=now, lease=lease, lease_until=now + DAY_MS, limit=CLAIMED))

        before = process_time() + (used(maria.pid, maria).database if maria else 0)
        assert await db.write(unit)
        took.append(process_time() + (used(maria.pid, maria).database if maria else 0) - before)
    await db.close()
    return 1000 * (median(took) if maria is None else sum(took) / len(took))


@click.command()
@click.option("--sizes", default="1000,100000,1000000", show_default=True, help="how many messages there are")
@click.option("--seconds", default=4.0, show_default=True, help="how long each measurement takes")
@click.option("--folder", type=click.Path(path_type=Path), help="on the disk to measure; default: for temporary files")
def main(sizes: str, seconds: float, folder: Path | None) -> None:
    """Grow both databases step by step, and measure at each."""
    click.echo(f"other programs keep {busy_cores():.1f} cores busy")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        for name in ("sqlite", "maria", "server"):
            (place / name).mkdir()
        maria = stack.enter_context(mariadb(place / "maria"))
        for engine, url in (("SQLite", f"sqlite:///{place}/sqlite/glimpse.db"), ("MariaDB", maria.url(DATABASE))):
            location, there = parse_url(url), None if engine == "SQLite" else maria
            asyncio.run(_prepare(location))
            results: list[dict[str, float]] = []
            full = 0
            for size in map(int, sizes.split(",")):
                if there is None:
                    fill_sqlite(Path(str(location)), full + 1, size)
                else:
                    fill_mariadb(there, full + 1, size)
                full = size
                settings = {**SETTINGS, "database": {"url": url}}
                with running(place / "server", settings) as server:
                    rounds = [measure(server, there, pool, seconds) for _ in range(ROUNDS)]
                claims = [asyncio.run(claim(location, there)) for _ in range(ROUNDS)]
                results.append(
                    {**{name: min(each[name] for each in rounds) for name in rounds[0]}, "claim": min(claims)}
                )
                _print(engine, size, results)


def _print(engine: str, size: int, results: list[dict[str, float]]) -> None:
    parts = (f"{name} {cost:6.2f} ms ({cost / results[0][name]:.2f})" for name, cost in results[-1].items())
    click.echo(f"{engine:8} {size:8} messages: {', '.join(parts)}")


if __name__ == "__main__":
    main()
