# SPDX-License-Identifier: Apache-2.0
"""Rows go when they are past their use, the rest stays, and no transaction is long."""

from functools import partial

import apsw
import pytest

from models.db.database import Database, Statement, T, Transaction, Unit
from models.db.sqlite.engine import SqliteDatabase
from models.db.tables import events, expired_rows, outbox
from models.user import UserId
from services.maintenance.retention import _Purge
from tests.services.maintenance.world import DAY, HOUR, TTL_SECONDS, World
from tests.support.engines import ON_SQLITE
from tests.support.interposed import Interposed, Noted
from tests.support.people import add_device

pytestmark = pytest.mark.anyio

ACTIVATION = "INSERT INTO activations VALUES (?, '', '', 'x', NULL, '', '', NULL, '', 5, 1, 0, ?, ?, NULL)"
IDEMPOTENCY = "INSERT INTO idempotency VALUES (?, '', NULL, '{}', ?, ?)"
CREDENTIAL = "INSERT INTO credentials (uid, kind, digest, created_at, expires_at) VALUES (?, 'ukey', '', 0, ?)"
REFRESH_TOKEN = "INSERT INTO refresh_tokens (digest, uid, family, created_at, expires_at) VALUES (?, ?, 'f', 0, ?)"
BUDGET = "INSERT INTO budgets VALUES (?, 1, ?)"
EVENT = "INSERT INTO events (uid, event_id, type, at, data) VALUES (?, ?, 'image', ?, '{}')"


async def _device(world: World, uid: UserId, token: str) -> int:
    return await world.db.write(partial(add_device, uid=uid, token=token, now=world.clock()))


async def _push(world: World, device_id: int, message_id: int | None = None) -> None:
    async def unit(tx: Transaction) -> None:
        await outbox.insert_for_device(
            tx, kind=outbox.Kind.MESSAGE, message_id=message_id, device_id=device_id, now=world.clock(), give_up_at=0
        )

    await world.db.write(unit)


async def _round(world: World) -> dict[str, int]:
    counts = await world.retention().run_once()
    assert counts.failed == []
    return counts.removed


async def test_rows_with_an_end_go_a_margin_after_it(world: World) -> None:
    uid, now = await world.person(), world.clock()
    for index, (table, sql, margin) in enumerate(
        (
            ("activations", ACTIVATION, 2 * DAY),
            ("idempotency", IDEMPOTENCY, HOUR),
            ("credentials", CREDENTIAL, HOUR),
            ("refresh_tokens", REFRESH_TOKEN, HOUR),
            ("budgets", BUDGET, HOUR),
        )
    ):
        keys: list[str | bytes] = [] if table == "credentials" else ["key" if table == "activations" else b"key"]
        rest = {"activations": [now], "idempotency": [now], "budgets": []}.get(table, [uid])
        others = ["two" if key == "key" else b"two" for key in keys]
        world.execute(sql, *keys, *rest, now - margin * 1000 - 1)
        world.execute(sql, *others, *rest, now - margin * 1000)
        assert (await _round(world))[table] == 1, index
        assert world.rows(f"SELECT expires_at FROM {table}") == [(now - margin * 1000,)]


async def test_a_ukey_without_an_end_stays(world: World) -> None:
    world.execute(CREDENTIAL, await world.person(), None)
    world.clock.passes(1000 * DAY)
    await _round(world)
    assert world.count("credentials") == 1


async def test_events_go_after_their_days_and_leave_no_gap(world: World) -> None:
    ann, ben, now = await world.person(), await world.person(), world.clock()
    old, young = now - 7 * DAY * 1000 - 1, now - 7 * DAY * 1000
    # The clock went back between Ben's second and third event.
    for uid, event_id, at in (
        (ann, 1, old),
        (ann, 2, young),
        (ben, 1, old),
        (ben, 2, young),
        (ben, 3, old),
        (ben, 4, now),
    ):
        world.execute(EVENT, uid, event_id, at)
    assert (await _round(world))["events"] == 4
    assert world.rows("SELECT uid, event_id FROM events ORDER BY uid") == [(ann, 2), (ben, 4)]


@pytest.mark.parametrize(
    ("table", "unit"),
    [("events", events.purge), ("budgets", partial(expired_rows.erase, table="budgets"))],
    ids=["events", "budgets"],
)
async def test_a_unit_of_erasing_takes_as_many_statements_for_many_as_for_one(
    world: World, table: str, unit: _Purge
) -> None:
    async def noted(count: int) -> list[Statement]:
        for _ in range(count):
            uid = await world.person()
            world.execute(*((EVENT, uid, 1, 1) if table == "events" else (BUDGET, uid.to_bytes(8), 1)))
        done: list[Statement] = []

        async def write(tx: Transaction) -> int:
            return await unit(Noted(tx, done.append), before=2, limit=100)

        assert await world.db.write(write) == count
        return done

    assert await noted(1) == await noted(30)
    assert world.count(table) == 0


async def test_settled_pushes_go_after_a_week_and_ended_devices_after_them(world: World) -> None:
    uid = await world.person()
    ended, active = await _device(world, uid, "old"), await _device(world, uid, "new")
    await _push(world, ended)
    await _push(world, active)
    world.execute("UPDATE devices SET ended_at = ? WHERE device_id = ?", world.clock(), ended)
    world.clock.passes(30 * DAY + 1)
    removed = await _round(world)
    assert (removed["outbox"], removed["devices"]) == (0, 0)
    world.execute("UPDATE outbox SET state = 'dead', settled_at = ? WHERE device_id = ?", world.clock(), ended)
    world.clock.passes(7 * DAY + 1)
    removed = await _round(world)
    assert (removed["outbox"], removed["devices"]) == (1, 1)
    assert world.rows("SELECT device_id FROM outbox") == [(active,)]
    assert world.rows("SELECT device_id FROM devices") == [(active,)]


async def test_a_message_goes_after_its_days_with_all_that_hangs_on_it(world: World) -> None:
    ann, ben, cat = [await world.person() for _ in range(3)]
    old = await world.send(ann, ben, cat)
    await _push(world, await _device(world, ben, "token"), old.message_id)
    world.clock.passes(1)
    young = await world.send(ann, ben)
    world.clock.passes(365 * DAY)
    assert (await _round(world))["messages"] == 1
    assert world.rows("SELECT message_id FROM messages") == [(young.message_id,)]
    assert world.rows("SELECT message_id FROM deliveries") == [(young.message_id,)]
    assert world.count("outbox") == 0


async def test_a_message_whose_file_is_kept_stays(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    image = await world.send(ann, ben)
    world.execute("UPDATE messages SET send_time = 0")
    assert (await _round(world))["messages"] == 0
    assert world.has_file(image)


async def test_a_dry_run_tells_what_a_round_removes(world: World) -> None:
    ann, ben = await world.person(), await world.person()
    for _ in range(3):
        await world.send(ann, ben)
    await world.reading().acknowledge(ben, (await world.send(ann, ben)).key)
    world.execute(IDEMPOTENCY, b"key", 0, 1)
    world.clock.passes(TTL_SECONDS)
    planned = (await world.retention().dry_run()).removed
    assert (planned["expired"], planned["files"], planned["events"], planned["idempotency"]) == (3, 4, 5, 1)
    assert world.count("idempotency") == 1
    removed = await _round(world)
    assert {name: removed[name] for name in planned} == planned


@ON_SQLITE
async def test_no_transaction_changes_more_than_two_hundred_rows(world: World) -> None:
    people = [await world.person() for _ in range(40)]
    images = [await world.send(people[0], *people) for _ in range(12)]
    images += [await world.send(people[0], uid) for uid in people * 4]
    now = world.clock()
    assert isinstance(world.db, SqliteDatabase)
    connection = apsw.Connection(world.database.url.removeprefix("sqlite:///"))
    connection.executemany(IDEMPOTENCY, [(bytes([n // 256, n % 256]), 0, 1) for n in range(500)])
    connection.executemany(EVENT, [(people[1], n, now) for n in range(1000, 1500)])
    connection.close()
    changed, sizes = 0, []

    def count(*_: object) -> None:
        nonlocal changed
        changed += 1

    def commit() -> bool:
        nonlocal changed
        sizes.append(changed)
        changed = 0
        return False

    cursor = world.db.writes._cursor
    assert cursor
    cursor.connection.set_update_hook(count)
    cursor.connection.set_commit_hook(commit)
    world.clock.passes(TTL_SECONDS)
    assert (await _round(world))["expired"] == len(images)
    assert sum(sizes) > 1500
    assert max(sizes) <= 200
    sizes.clear()
    world.clock.passes(366 * DAY)
    assert (await _round(world))["messages"] == len(images)
    assert max(sizes) <= 200, "where the last message of a transaction ends behind the limit of messages, too"
    assert not any(map(world.has_file, images))


class Paced(Interposed):
    """Wants units of upkeep to take so long, and tells how many rows each of them erased."""

    def __init__(self, db: Database, seconds: float) -> None:
        super().__init__(db)
        self.upkeep_seconds = seconds
        self.erased: list[int] = []

    async def write(self, unit: Unit[T]) -> T:
        result = await super().write(unit)
        if isinstance(result, tuple) and result[0]:
            self.erased.append(result[0])
        return result


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, [20] * 25), (3600.0, [20, 40, 80, 100, 100, 100, 60])],
    ids=["slow", "quick"],
)
async def test_units_of_erasing_have_as_many_rows_as_the_database_has_time_for(
    world: World, seconds: float, expected: list[int]
) -> None:
    for number in range(500):
        world.execute(BUDGET, number.to_bytes(2), 1)
    db = Paced(world.db, seconds)
    await world.retention(db).run_once()
    assert db.erased == expected
