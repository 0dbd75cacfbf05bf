# SPDX-License-Identifier: Apache-2.0
"""Units that meet in each other's middle: worlds whose database lets others run before each statement."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import text

from models.db.database import Changed, Database, DatabaseError, Row, Statement, Transaction, Unit, Value
from models.db.tables import users
from models.errors import AppError
from services.accounts.account_deletion import AccountDeletion
from services.accounts.account_issuing import Issued
from services.authentication import Caller
from tests.services.accounts.world import PHONE, World, open_world
from tests.support.engines import Engine

T = TypeVar("T")

CONNECTIONS = 8


class Breathing(Transaction):
    """A transaction that lets the others run before each of its statements, so that they meet in its middle.

    How long that is decides what a test can find, not what it says of what is right.
    """

    breath = Statement(text("SELECT SLEEP(0.004)"))
    long_breath = Statement(text("SELECT SLEEP(0.25)"))

    def __init__(self, tx: Transaction, cut_in: "CutIn") -> None:
        self._tx = tx
        self._cut_in = cut_in
        self.touched = tx.touched

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        await self._breathe(statement)
        return await self._tx.read(statement, **params)

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        await self._breathe(statement)
        return await self._tx.execute(statement, **params)

    async def _breathe(self, statement: Statement) -> None:
        call = self._cut_in.pop(statement, None)
        if call is not None:
            call()
        await self._tx.read(self.long_breath if call else self.breath)


CutIn = dict[Statement, Callable[[], object]]
"""What to begin when a unit has come to a statement, once; the statement then waits for a while."""


class Interleaving:
    """A database whose units interleave as much as they can."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.cut_in: CutIn = {}

    async def write(self, unit: Unit[T]) -> T:
        async def breathing(tx: Transaction) -> T:
            return await unit(Breathing(tx, self.cut_in))

        return await self._real.write(breathing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def meet(self) -> None:
        """Open every connection, so that no unit has to wait for its own while others are on their way."""

        async def breathe(tx: Transaction) -> None:
            await tx.read(Breathing.breath)

        await asyncio.gather(*(self._real.write(breathe) for _ in range(CONNECTIONS)))


@asynccontextmanager
async def open_interleaving(engine: Engine, *, required: bool = False, limited: bool = False) -> AsyncIterator[World]:
    """A world (see `open_world`) whose units interleave where the engine lets them."""
    async with open_world(engine, required=required, limited=limited) as world:
        if engine.name == "mariadb":
            world.db._real = interleaving = Interleaving(world.db._real)
            await interleaving.meet()
        yield world


@asynccontextmanager
async def cutting_in(
    world: World, statement: Statement, begin: Callable[[], Coroutine[Any, Any, T]]
) -> AsyncIterator[list[T | BaseException]]:
    """Begin that when a unit has come to the statement. What came of it is there at the end of the block.

    Where units are run one after the other it comes after the block.
    """
    begun: list[asyncio.Task[T]] = []
    answers: list[T | BaseException] = []

    def cut_in() -> None:
        begun.append(asyncio.create_task(begin()))

    if world.engine.name == "mariadb":
        assert isinstance(world.db._real, Interleaving)
        world.db._real.cut_in[statement] = cut_in
    yield answers
    if world.engine.name == "sqlite":
        cut_in()
    answers += await asyncio.gather(*begun, return_exceptions=True)


async def later(world: World, breaths: int, call: Coroutine[Any, Any, T]) -> T:
    """A call that begins when others are some statements ahead."""

    async def breathe(tx: Transaction) -> None:
        for _ in range(breaths):
            await users.find(tx, 0)

    await world.db.write(breathe)
    return await call


async def at_once(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """What came of each, a refusal too. Raises what the database could not do."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and (
            isinstance(answer, DatabaseError) or not isinstance(answer, AppError)
        ):
            raise answer
    return answers


def of(kind: type[T], answers: Iterable[object]) -> list[T]:
    return [answer for answer in answers if isinstance(answer, kind)]


def leaving(world: World) -> AccountDeletion:
    return AccountDeletion(db=world.db, keys=world.keys, wake_retention=lambda: None, clock=world.clock)


def phone(number: int) -> dict[str, Any]:
    return {"region_num": "86", "phone_num": f"138{number:08d}", "nickname": "Ann"}


async def newcomers(world: World, count: int) -> list[Issued]:
    return [await world.register(phone(number)) for number in range(count)]


def caller_of(issued: Issued) -> Caller:
    return Caller(issued.uid, issued.phone_hash, issued.credential_id)


async def begin(world: World, fields: dict[str, Any] = PHONE) -> Coroutine[Any, Any, Issued]:
    """What proves the number."""
    started, code = await world.start(fields)
    return world.activation.confirm(started.activation_id, {"code": code}, None)


def unused(world: World) -> list[tuple[Any, ...]]:
    return world.rows("SELECT family FROM refresh_tokens WHERE used_at IS NULL")
