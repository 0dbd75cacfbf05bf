# SPDX-License-Identifier: Apache-2.0
"""Readers in one process, commits in another: by a call across to a neighbour, or by looking."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from models.access_token import AccessTokens
from models.clock import now_ms
from models.db.database import Database, Transaction
from models.db.tables import events
from models.keys import new_key_ring
from models.shared_counters import SharedCounter
from models.user import UserId
from services.authentication import Authentication, Caller
from services.events import Events, Reader
from services.limits import Limits
from services.worker_bus import MOST_UIDS, WorkerBus, connect_workers
from tests.support import PATIENCE, shipped
from tests.support.engines import Engine
from tests.support.people import add_person

pytestmark = pytest.mark.anyio

ANN, STRANGER = UserId(1), UserId(2)


@dataclass
class Process:
    """What of a process is about events."""

    db: Database
    events: Events

    async def commit(self, uid: UserId = ANN) -> None:
        async def unit(tx: Transaction) -> None:
            await events.append(tx, uid=uid, kind="something", at=now_ms(), data={})

        await self.db.write(unit)


@asynccontextmanager
async def process(engine: Engine, worker_bus: WorkerBus | None = None) -> AsyncIterator[Process]:
    db, keys = await engine.open(), new_key_ring()
    limits = Limits(db=db, keys=keys, enabled=False, **shipped.rates())
    made = Events(
        db=db,
        authentication=Authentication(db=db, keys=keys, access_tokens=AccessTokens(keys), limits=limits, clock=now_ms),
        max_readers=100,
        clock=now_ms,
        readers=SharedCounter(),
        tell_workers=worker_bus.tell_of_events if worker_bus else None,
    )
    try:
        yield Process(db, made)
    finally:
        made.stop()
        await db.close()


@pytest.fixture
async def people(engine: Engine) -> None:
    engine.migrate()
    db = await engine.open()
    assert [await db.write(partial(add_person, now=now_ms())) for _ in range(2)] == [ANN, STRANGER]
    await db.close()


@pytest.fixture(autouse=True)
def no_look_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that nobody wakes sees nothing."""
    monkeypatch.setattr("services.events.CONFIRM_SECONDS", 3600)


@contextmanager
def neighbourhood(count: int) -> Iterator[list[WorkerBus]]:
    """So many worker_bus, whose sockets end with the block: else they do with their processes."""
    found = connect_workers(count)
    ends = [end for each in found for end in (each._inbox, *each._others)]
    yield found
    for each in found:
        each.close()
    for end in ends:
        assert isinstance(end, socket.socket)
        end.close()


async def waits(reader: Reader) -> None:
    """Until it has looked, and will look again only when it is woken."""
    while not reader.woken._waiters:  # noqa: ASYNC110 - nobody tells that somebody waits
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("people")
async def test_a_commit_wakes_the_readers_of_a_neighbour(engine: Engine) -> None:
    with neighbourhood(2) as (here, there):
        async with process(engine, here) as writing, process(engine) as reading:
            there.listen(wake_readers=reading.events.wake, wake_relay=nothing, wake_retention=nothing)
            reader = await reading.events.open(Caller(ANN, None), None)
            waiting = asyncio.create_task(reader.next(60))
            await waits(reader)
            await writing.commit()
            async with asyncio.timeout(PATIENCE):
                assert [event.type for event in await waiting] == ["something"]


@pytest.mark.usefixtures("people")
async def test_who_looks_finds_what_others_have_committed(engine: Engine) -> None:
    async with process(engine) as writing, process(engine) as reading:
        reader = await reading.events.open(Caller(ANN, None), None)
        stranger = await reading.events.open(Caller(STRANGER, None), None)
        waiting = asyncio.create_task(reader.next(60))
        await waits(reader)
        await writing.commit()
        async with asyncio.timeout(PATIENCE):
            await reading.events.look_elsewhere()
            assert [event.type for event in await waiting] == ["something"]
        stranger.woken.clear()
        reader.woken.clear()
        await reading.events.look_elsewhere()
        assert not stranger.woken.is_set()
        assert not reader.woken.is_set(), "what has been read is not new"


@pytest.mark.usefixtures("people")
async def test_readers_are_bounded_for_all_processes(engine: Engine) -> None:
    async with process(engine) as one:
        first = await one.events.open(Caller(ANN, None), None)
        assert one.events.readers == 1
        first.close()
        assert one.events.readers == 0


def nothing() -> None:
    """Nobody is to be woken."""


class Ear:
    """What a neighbour hears from here on. `enough` is set when it has heard of `last`."""

    def __init__(self, worker_bus: WorkerBus, last: int) -> None:
        self.uids: set[int] = set()
        self.pushes_due = False
        self.image_ended = False
        self.enough = asyncio.Event()
        self._last = last
        worker_bus.listen(wake_readers=self._of, wake_relay=self._push, wake_retention=self._end)

    def _of(self, uids: Iterable[int]) -> None:
        self.uids.update(uids)
        if self._last in self.uids:
            self.enough.set()

    def _push(self) -> None:
        self.pushes_due = True

    def _end(self) -> None:
        self.image_ended = True


async def test_what_is_said_in_one_turn_reaches_every_neighbour_and_not_oneself() -> None:
    people, last = range(3 * MOST_UIDS), 10**18
    with neighbourhood(3) as three:
        ears = [Ear(each, last) for each in three]
        three[0].tell_of_events(people)
        three[0].tell_of_events([last])
        three[0].tell_of_ended_image()
        three[1].tell_of_pushes()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(ear.enough.wait() for ear in ears[1:]))
            while not (ears[0].pushes_due and ears[2].pushes_due):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    assert [ear.uids for ear in ears] == [set(), {*people, last}, {*people, last}]
    assert [ear.image_ended for ear in ears] == [False, True, True]
    assert [ear.pushes_due for ear in ears] == [True, False, True]


async def test_a_neighbour_that_hears_nothing_holds_nobody_up() -> None:
    with neighbourhood(3) as (here, _, hearing):
        ear = Ear(hearing, 5000)
        for uid in range(5001):
            here.tell_of_events([uid])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await ear.enough.wait()


async def test_who_has_no_neighbours_says_nothing() -> None:
    alone = WorkerBus()
    Ear(alone, 1)
    alone.tell_of_events([1])
    alone.tell_of_pushes()
    alone.tell_of_ended_image()
    alone.close()
