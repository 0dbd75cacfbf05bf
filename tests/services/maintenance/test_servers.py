# SPDX-License-Identifier: Apache-2.0
"""Several servers over one database: who is there, who has died, and keys rotated on all of them."""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import apsw
import pytest

from models.clock import DAY_MS, now_ms
from models.db.database import Database, Transaction
from models.db.tables import heartbeats, users
from models.key_rotation import Kind, begun, under_way
from models.keys import KeyRing, KeyRingError, open_key_ring, read_key_ring, replace_key_ring
from models.user import UserId
from services.leader import DEAD_SECONDS
from services.maintenance.key_rotation import Rotated, Rotation
from services.maintenance.keyring_sync import HEARTBEAT_SECONDS, LOOK_SECONDS, POLL_SECONDS, KeyringSync
from storage.ownership import Processes, list_processes
from tests.support import PATIENCE
from tests.support.engines import Engine, SqliteEngine, mariadb_server
from tests.support.interposed import Interposed
from tests.support.people import add_person

pytestmark = pytest.mark.anyio

PERSON = "+8613800138000"


class Shared(Interposed):
    """A database that several servers have open."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.shared = True


@dataclass
class Machine:
    """A server process with a database connection, a key ring's file and a clock of its own."""

    db: Database
    path: Path
    booted: float
    server_id: str = field(init=False)
    keys: KeyRing = field(init=False)
    watch: KeyringSync = field(init=False)
    passed: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.server_id = secrets.token_hex(8)
        self.keys = open_key_ring(self.path, sealed=None)
        self.watch = KeyringSync(
            db=self.db,
            keys=self.keys,
            path=self.path,
            server_id=self.server_id,
            clock=now_ms,
            monotonic=self.clock,
        )

    def clock(self) -> float:
        return self.booted + self.passed

    async def lives(self, seconds: float) -> None:
        """As it does by itself, as long as nobody stops it."""
        for _ in range(round(seconds / POLL_SECONDS)):
            self.passed += POLL_SECONDS
            await self.watch.keep_presence()

    def dies(self) -> None:
        """As the kernel ends a process: its lock is released, and nothing else."""
        descriptor = self.watch._lock._descriptor
        assert descriptor is not None
        os.close(descriptor)


@dataclass
class World:
    machines: list[Machine]
    db: Database

    async def generations(self) -> list[int]:
        return sorted(server.key_generation for server in await heartbeats.list_all(self.db))

    async def rotate(
        self,
        path: Path,
        *,
        confirm_seconds: float = 0.2,
        say: Callable[[str, int, int], None] = lambda _step, _done, _total: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Rotated:
        """As an operator does on one machine."""
        rotation = Rotation(
            db=self.db,
            path=path,
            server_runs=lambda: False,
            clock=now_ms,
            say=say,
            at_once=True,
            confirm_seconds=confirm_seconds,
            monotonic=monotonic,
        )
        return await rotation.run(list(Kind))


@pytest.fixture
async def world(engine: Engine, tmp_path: Path) -> AsyncIterator[World]:
    """Two machines with a copy each of one key ring, and a person whose number it has sealed."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(3):
            db = await engine.open()
            stack.push_async_callback(db.close)
            opened.append(Shared(db))
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        first = Machine(opened[0], tmp_path / "a" / "keys.json", 0.0)
        shutil.copy(first.path, tmp_path / "b" / "keys.json")
        second = Machine(opened[1], tmp_path / "b" / "keys.json", 500_000.0)

        await opened[2].write(partial(add_person, now=now_ms(), cipher=first.keys.encrypt_phone(PERSON)))
        yield World([first, second], opened[2])


async def test_each_enters_and_leaves_for_itself(world: World) -> None:
    first, second = world.machines
    await first.watch.enter()
    await second.watch.enter()
    assert await world.generations() == [1, 1]
    await first.watch.leave()
    assert await world.generations() == [1]
    await second.watch.leave()
    assert await world.generations() == []


async def test_who_has_a_database_alone_is_alone_there(engine: Engine, tmp_path: Path) -> None:
    db = await engine.open()
    alone = Interposed(db)
    alone.shared = False
    for _ in range(3):
        machine = Machine(alone, tmp_path / "keys.json", 0.0)
        await machine.watch.enter()
        assert await heartbeats.list_ids(db) == {machine.server_id}
        machine.dies()
    await db.close()


async def test_two_processes_of_one_directory_stand_side_by_side_until_one_dies(engine: Engine, tmp_path: Path) -> None:
    db = await engine.open()
    alone = Interposed(db)
    alone.shared = False
    first, second = (Machine(alone, tmp_path / "keys.json", 0.0) for _ in range(2))
    await first.watch.enter()
    await second.watch.enter()
    assert await heartbeats.list_ids(db) == {first.server_id, second.server_id}
    first.dies()
    await second.lives(LOOK_SECONDS)
    assert await heartbeats.list_ids(db) == {second.server_id}
    await second.watch.leave()
    assert await heartbeats.list_ids(db) == set()
    assert list_processes(tmp_path) == Processes(frozenset(), frozenset())
    await db.close()


async def test_who_has_died_is_removed_and_who_lives_is_not(world: World) -> None:
    first, second = world.machines
    third = Machine(world.db, first.path, 86_400.0)
    for machine in (first, second, third):
        await machine.watch.enter()
    while len(await world.generations()) == 3 and first.passed < 2 * DEAD_SECONDS:
        await first.lives(POLL_SECONDS)
        await second.lives(POLL_SECONDS)

    assert DEAD_SECONDS <= first.passed <= DEAD_SECONDS + 2 * LOOK_SECONDS
    assert await world.generations() == [1, 1]
    await third.lives(HEARTBEAT_SECONDS)
    assert await world.generations() == [1, 1, 1]


async def test_a_machine_knows_at_once_who_of_its_own_has_died_and_not_of_another(world: World) -> None:
    first, second = world.machines
    beside = Machine(world.db, first.path, 86_400.0)
    for machine in (first, second, beside):
        await machine.watch.enter()
    beside.dies()
    second.dies()
    await first.lives(LOOK_SECONDS)
    assert await heartbeats.list_ids(world.db) == {first.server_id, second.server_id}


async def test_a_server_that_was_away_with_the_database_is_not_taken_for_dead(world: World) -> None:
    first, second = world.machines
    await first.watch.enter()
    await second.watch.enter()
    await first.lives(HEARTBEAT_SECONDS)
    first.passed += 10 * DEAD_SECONDS
    await first.watch.keep_presence()
    assert await world.generations() == [1, 1]


async def test_the_ring_that_came_into_the_file_while_a_server_started_is_taken_before_it_serves(world: World) -> None:
    first, second = world.machines
    second.start()
    await world.rotate(first.path)
    shutil.copy(first.path, second.path)
    await second.watch.enter()
    generation = read_key_ring(first.path).generation
    assert (second.keys.generation, await world.generations()) == (generation, [generation])


@asynccontextmanager
async def serving(*machines: Machine) -> AsyncIterator[None]:
    """The machines' servers follow their files."""
    following = []
    for machine in machines:
        await machine.watch.enter()
        following.append(asyncio.create_task(machine.watch.run()))
    yield
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


async def copy_all_the_while(source: Path, target: Path) -> None:
    """As an operator does who has no directory that both machines see."""
    while True:
        shutil.copy(source, target.with_name("copy"))
        target.with_name("copy").replace(target)
        await asyncio.sleep(0.1)


async def test_a_rotation_waits_for_a_machine_that_has_another_file(world: World) -> None:
    first, second = world.machines
    before = read_key_ring(first.path)
    seconds = 0.0

    def say(_step: str, _done: int, _total: int) -> None:
        """Time passes when the machine that has the file has confirmed it."""
        nonlocal seconds
        if first.watch._told == read_key_ring(first.path).generation:
            seconds = 2.0

    async with serving(first, second):
        with pytest.raises(KeyRingError, match="1 servers have not taken"):
            await world.rotate(first.path, confirm_seconds=1, say=say, monotonic=lambda: seconds)
        stopped = read_key_ring(first.path)
        assert (stopped.data_key, stopped.pepper, stopped.token_key) == (
            before.data_key,
            before.pepper,
            before.token_key,
        )
        copying = asyncio.create_task(copy_all_the_while(first.path, second.path))
        done = await world.rotate(first.path, confirm_seconds=60)
        copying.cancel()

    ring = read_key_ring(first.path)
    assert (done.resumed, set(done.kinds), under_way(ring)) == (True, set(Kind), set())
    assert await world.generations() == [ring.generation] * 2
    cipher = await users.find_phone_cipher(world.db)
    assert cipher is not None
    assert ring.decrypt_phone(cipher) == PERSON
    assert not set(ring.data_keys.values()) & set(before.data_keys.values())


@contextmanager
def users_locked(engine: Engine) -> Iterator[None]:
    """Nobody can change a row of `users`."""
    if isinstance(engine, SqliteEngine):
        with closing(apsw.Connection(str(engine.path))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        name = engine.url.rpartition("/")[2]
        with closing(mariadb_server().connect(name)) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT uid FROM users FOR UPDATE")
            yield
            cursor.execute("ROLLBACK")


async def test_a_server_confirms_a_ring_after_all_that_it_wrote_by_the_one_before(engine: Engine, world: World) -> None:
    server = world.machines[0]
    await server.watch.enter()

    async def unit(tx: Transaction) -> None:
        await users.mark_seen(tx, uid=UserId(1), now=now_ms() + DAY_MS)

    with users_locked(engine):
        writing = asyncio.create_task(server.db.write(unit))
        await asyncio.sleep(0)
        replace_key_ring(server.path, begun(server.keys, [Kind.TOKENS]))
        looking = asyncio.create_task(server.watch.look())
        async with asyncio.timeout(PATIENCE):
            while server.keys.generation == 1:  # a thread reads the file
                await asyncio.sleep(0)
                assert await world.generations() == [1]
        for _ in range(50):
            await asyncio.sleep(0)  # SQLite answers without a pause for the others
            assert await world.generations() == [1]
        assert (server.keys.generation, writing.done(), looking.done()) == (2, False, False)
    await asyncio.gather(writing, looking)
    assert await world.generations() == [2]


async def test_machines_with_one_file_follow_a_rotation_from_any(world: World) -> None:
    first, second = world.machines
    second.path.unlink()
    second.path.symlink_to(first.path)
    second.start()
    async with serving(first, second):
        done = await world.rotate(second.path.resolve(), confirm_seconds=60)

    ring = read_key_ring(first.path)
    assert (set(done.kinds), under_way(ring)) == (set(Kind), set())
    assert second.path.is_symlink()
    assert await world.generations() == [ring.generation] * 2


async def test_a_rotation_does_not_wait_for_the_dead(world: World) -> None:
    first, _ = world.machines
    await first.watch.enter()
    clock = iter(range(10**9))
    rotation = Rotation(
        db=world.db,
        path=first.path,
        server_runs=lambda: False,
        clock=now_ms,
        say=lambda _step, _done, _total: None,
        at_once=True,
        confirm_seconds=2 * DEAD_SECONDS,
        monotonic=lambda: float(next(clock)),
    )
    await rotation.run([Kind.TOKENS])
    assert under_way(read_key_ring(first.path)) == set()
