# SPDX-License-Identifier: Apache-2.0
"""Where two answers are the same, so is what is done for them: the same statements and calls of the store, in order.

What is done decides how long an answer takes; `make prove-timing` compares the times themselves.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from models.db.database import Row, Statement, Transaction, Unit, Value
from models.db.tables import budgets, events, phone_index
from models.errors import AppError, RecipientUnavailable
from models.ids import MAX_ID
from models.paging import IdRange
from models.phone import phone_hash
from models.user import NOBODY, UserId
from services.conversations import Conversations
from services.groups import read_new_group
from services.history import Conversation, History
from tests.services.town import ADDRESS, Town, open_town
from tests.support.engines import Engine
from tests.support.interposed import Noted

T = TypeVar("T")
pytestmark = pytest.mark.anyio

LOGGED = (budgets._INSERT, events._INSERT)
"""An event, or what is written where there must not be one."""
PAGE = IdRange(0, MAX_ID, 50)
NOBODY_HAS = UserId(2**40)


@dataclass
class Watched:
    """A database or a store, whose calls are noted by name, and statements by their text."""

    inner: Any
    done: list[str] = field(default_factory=list)

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        self._note(statement)
        rows: list[Row] = await self.inner.read(statement, **params)
        return rows

    async def write(self, unit: Unit[T]) -> T:
        async def noted(tx: Transaction) -> T:
            return await unit(Noted(tx, self._note))

        self.done.append("BEGIN")
        written: T = await self.inner.write(noted)
        return written

    def _note(self, statement: Statement) -> None:
        self.done.append("a row of the log" if statement in LOGGED else statement.sql("sqlite").text)

    def __getattr__(self, name: str) -> Any:
        self.done.append(name)
        return getattr(self.inner, name)


@dataclass
class World:
    """Ben, and those whom he asks about."""

    town: Town
    done: list[str]
    ben: UserId = NOBODY

    async def newcomer(self) -> UserId:
        """Somebody with a number."""
        [uid] = await self.town.newcomers(1)
        self.town.callers[uid] = replace(self.town.callers[uid], phone_hash=number(uid))
        await self.town.db.write(partial(self._list, uid))
        return uid

    async def _list(self, uid: UserId, tx: Transaction) -> None:
        await phone_index.insert_digests(tx, uid=uid, digests=self.town.keys.phone_digests(number(uid)))

    async def trace(self, act: Awaitable[object]) -> list[str]:
        """All that is done for this, and how it ends."""
        self.done.clear()
        try:
            await act
        except AppError as error:
            return [*self.done, error.code]
        return list(self.done)


def number(uid: UserId) -> str:
    return phone_hash(f"+86139{uid % 10**8:08}")


@pytest.fixture
async def world(engine: Engine, tmp_path: Path) -> AsyncIterator[World]:
    async with open_town(engine, tmp_path) as town:
        done: list[str] = []
        town.db, town.store = Watched(town.db, done), Watched(town.store, done)  # type: ignore[assignment]
        town.__dict__["discovery"] = replace(town.discovery, limits_enabled=True)
        world = World(town, done)
        world.ben = await world.newcomer()
        yield world


async def test_an_unknown_person_and_one_who_takes_from_friends_alone_are_one_way(world: World) -> None:
    town, ben = world.town, world.ben
    town.__dict__["policy"] = replace(town.policy, friends_only=True)
    stranger = await world.newcomer()
    await world.trace(town.say(ben, receiver_uid=NOBODY_HAS - 1))  # the day's budgets begin with it
    for unknown, not_friend in (
        (
            partial(town.send, ben, receiver_phone=number(NOBODY_HAS)),
            partial(town.send, ben, receiver_phone=number(stranger)),
        ),
        (partial(town.send, ben, receiver_uid=NOBODY_HAS), partial(town.send, ben, receiver_uid=stranger)),
        (
            partial(town.say, ben, receiver_uid=NOBODY_HAS + 1),
            partial(town.say, ben, receiver_uid=await world.newcomer()),
        ),
    ):
        for _ in range(2):  # the second is charged already
            traced = [await world.trace(act()) for act in (unknown, not_friend)]
            assert traced[0] == traced[1]
            assert traced[0][-1] == RecipientUnavailable.code


async def test_the_outbox_is_written_to_for_who_has_a_device(world: World) -> None:
    town, ben = world.town, world.ben
    cat = await world.newcomer()
    written = []
    for _ in range(2):
        traced = await world.trace(town.say(ben, receiver_uid=cat))
        written.append(sum("INTO outbox" in each for each in traced))
        await town.equip(cat)
    assert written == [0, 1]


async def friends(town: Town, one: UserId, other: UserId) -> None:
    await town.people.befriend(one, other)
    await town.people.befriend(other, one)


async def asked(town: Town, one: UserId, other: UserId) -> None:
    await town.people.befriend(one, other)


async def was_asked(town: Town, one: UserId, other: UserId) -> None:
    await town.people.befriend(other, one)


@dataclass
class Other:
    """Somebody about whom Ben asks, with what he has sent them, and the groups that both are in."""

    uid: UserId
    two: int
    three: int
    sent: Any
    shared: Any
    said: int


Ask = Callable[[World, Other], Awaitable[object]]
ASKS: dict[str, Ask] = {
    "an image by uid": lambda world, other: world.town.send(world.ben, receiver_uid=other.uid),
    "an image by number": lambda world, other: world.town.send(world.ben, receiver_phone=number(other.uid)),
    "with a key": lambda world, other: world.town.send(world.ben, receiver_uid=other.uid, key=f"key {other.uid}"),
    "to the two": lambda world, other: world.town.send(world.ben, group_id=other.two),
    "to three": lambda world, other: world.town.send(world.ben, group_id=other.three),
    "a text": lambda world, other: world.town.say(world.ben, receiver_uid=other.uid),
    "a text to the two": lambda world, other: world.town.say(world.ben, group_id=other.two),
    "a text to three": lambda world, other: world.town.say(world.ben, group_id=other.three),
    "its status": lambda world, other: world.town.reading.status(world.ben, other.sent.message_key),
    "recall": lambda world, other: world.town.fetch(world.ben, other.sent),
    "recall from three": lambda world, other: world.town.fetch(world.ben, other.shared),
    "take a text back": lambda world, other: world.town.messaging.delete(world.ben, other.said),
    "befriend": lambda world, other: world.town.people.befriend(world.ben, other.uid),
    "befriend again": lambda world, other: world.town.people.befriend(world.ben, other.uid),
    "accept": lambda world, other: world.town.people.accept(world.ben, other.uid),
    "part": lambda world, other: world.town.people.part(world.ben, other.uid),
    "befriend anew": lambda world, other: world.town.people.befriend(world.ben, other.uid),
    "discover": lambda world, other: world.town.discovery.discover(
        world.town.callers[world.ben], {"phone_hashes": [number(other.uid)]}, ADDRESS
    ),
    "ask into a group": lambda world, other: world.town.groups.create(
        world.ben, read_new_group({"name": "x", "members": [other.uid]}, world.ben)
    ),
    "the history": lambda world, other: history(world).find(world.ben, Conversation(other.uid, None), PAGE),
    "the conversations": lambda world, _other: Conversations(
        db=world.town.db, history=history(world), clock=world.town.clock
    ).list(world.ben, PAGE),
    "mark as read": lambda world, other: Conversations(
        db=world.town.db, history=history(world), clock=world.town.clock
    ).mark_read(world.ben, Conversation(other.uid, None), MAX_ID),
}


def history(world: World) -> History:
    return History(db=world.town.db, clock=world.town.clock)


async def meet(world: World, stand: Callable[[Town, UserId, UserId], Awaitable[None]]) -> Other:
    town, ben, uid = world.town, world.ben, await world.newcomer()
    await stand(town, ben, uid)
    two, three = await town.group(ben, uid), await town.group(ben, uid, await world.newcomer())
    sent, shared = await town.send(ben, receiver_uid=uid), await town.send(ben, group_id=three)
    said = await town.say(ben, receiver_uid=uid)
    await town.say(uid, receiver_uid=ben)
    return Other(uid, two, three, sent, shared, said)


@pytest.mark.parametrize("stand", [friends, asked, was_asked])
async def test_who_is_blocked_and_who_is_not_are_one_way(
    world: World, stand: Callable[[Town, UserId, UserId], Awaitable[None]]
) -> None:
    free, blocking = await meet(world, stand), await meet(world, stand)
    await world.town.people.block(blocking.uid, world.ben)
    await world.trace(ASKS["discover"](world, free))  # the day's budgets begin with it
    for name, ask in ASKS.items():
        traced = [await world.trace(ask(world, other)) for other in (free, blocking)]
        assert (name, traced[0]) == (name, traced[1])


async def test_the_first_words_between_two_are_one_way(world: World) -> None:
    free, blocking = await world.newcomer(), await world.newcomer()
    await world.town.people.block(blocking, world.ben)
    traced = [await world.trace(world.town.say(world.ben, receiver_uid=uid)) for uid in (free, blocking)]
    assert traced[0] == traced[1]
    traced = [await world.trace(world.town.people.befriend(world.ben, uid)) for uid in (free, blocking)]
    assert traced[0] == traced[1]
