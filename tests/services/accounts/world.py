# SPDX-License-Identifier: Apache-2.0
"""Accounts over the real database, with a clock and an SMS gateway that the test holds."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from argon2 import PasswordHasher
from sqlalchemy import bindparam, update

from httpclient.endpoints import Endpoints
from models.access_token import AccessTokens
from models.db.database import Database, Row, Statement, Transaction, Unit
from models.db.schema import users
from models.keys import KeyRing, new_key_ring
from push.sms.base import SmsMessage, SmsOutcome, SmsSent
from push.sms.queue import SmsQueue
from services.accounts.account_issuing import AccountIssuing, Issued, Started
from services.accounts.activation import Activation
from services.accounts.password_hashing import Hashing
from services.accounts.passwords import Passwords
from services.accounts.profile import Accounts
from services.accounts.sessions import Tokens
from services.accounts.sms_budgets import SmsBudgets
from services.authentication import Authentication, Caller
from services.device_tokens import DeviceTokens
from services.limits import Limits
from tests.support import shipped
from tests.support.clock import Clock
from tests.support.engines import Engine

T = TypeVar("T")

PHONE = {"region_num": "86", "phone_num": "13800138000", "nickname": "Ann"}
E164 = "+8613800138000"
OTHER = {"region_num": "86", "phone_num": "13900139000", "nickname": "Bob"}
TEST_NUMBER = {"region_num": "1", "phone_num": "2015550123", "nickname": "Reviewer"}
_DISABLE = Statement(update(users).where(users.c.uid == bindparam("this")).values(disabled_at=bindparam("now")))


class FakeSms:
    name = "fake"
    knows_repeats = True

    def __init__(self) -> None:
        self.sent: list[SmsMessage] = []

    async def send(self, message: SmsMessage) -> SmsOutcome:
        self.sent.append(message)
        return SmsSent()

    async def close(self) -> None:
        pass


class CountingHasher(PasswordHasher):
    """Argon2 at next to no cost, telling how often it was computed."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.computations = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.computations += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        self.computations += 1
        return super().verify(hash, password)


class CountingDatabase:
    """The real database, telling how often it was asked."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.shared, self.upkeep_seconds = real.shared, real.upkeep_seconds
        self.reads = self.writes = 0

    async def read(self, statement: Statement, **params: Any) -> list[Row]:
        self.reads += 1
        return await self._real.read(statement, **params)

    async def write(self, unit: Unit[T]) -> T:
        self.writes += 1
        return await self._real.write(unit)

    async def settled(self) -> None:
        await self._real.settled()

    def tell(self, listener: Callable[[set[int]], None]) -> None:
        self._real.tell(listener)

    async def close(self) -> None:
        await self._real.close()


@dataclass
class World:
    engine: Engine
    db: CountingDatabase
    keys: KeyRing
    clock: Clock
    limits: Limits
    sms: FakeSms
    queue: SmsQueue
    accounts: Accounts
    activation: Activation
    authentication: Authentication
    hasher: CountingHasher
    hashing: Hashing
    tokens: Tokens
    passwords: Passwords
    woken: list[int] = field(default_factory=list)

    async def register(self, fields: dict[str, Any] = PHONE, **more: Any) -> Issued:
        answer = await self.accounts.register(fields | more, None)
        assert isinstance(answer, Issued)
        return answer

    async def start(self, fields: dict[str, Any] = PHONE, **more: Any) -> tuple[Started, str]:
        """An activation and the code that was sent for it."""
        answer = await self.accounts.register(fields | more, None)
        assert isinstance(answer, Started)
        return answer, await self.code()

    async def retrieve(self, fields: dict[str, Any] = PHONE, **more: Any) -> Issued:
        started, code = await self.start(fields, **more)
        return await self.activation.confirm(started.activation_id, {"code": code}, None)

    async def code(self) -> str:
        """The last code that was sent."""
        for task in list(self.queue._sending):
            await task
        return self.sms.sent[-1].code

    async def login(self, issued: Issued, ukey: str | None = None, address: str = "192.0.2.1") -> Caller:
        return await self.authentication.basic(issued.phone_hash, ukey or issued.ukey, address)

    async def disable(self, uid: int) -> None:
        async def unit(tx: Transaction) -> None:
            await tx.execute(_DISABLE, this=uid, now=self.clock())

        await self.db.write(unit)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.engine.rows(sql)


@asynccontextmanager
async def open_world(
    engine: Engine,
    *,
    required: bool = False,
    limited: bool = True,
    budgets: Mapping[str, str] | None = None,
    regions: Collection[str] = (),
    rates: Database | None = None,
) -> AsyncIterator[World]:
    """`rates` is where rates are counted, if not where everything is."""
    db, keys, clock, sms = CountingDatabase(await engine.open()), new_key_ring(), Clock(), FakeSms()
    limits = Limits(db=rates or db, keys=keys, enabled=limited, **shipped.rates(), clock=clock, monotonic=clock.seconds)
    queue = SmsQueue(sms)
    woken: list[int] = []
    account_issuing = AccountIssuing(keys=keys, recycled_after_days=90, push_give_up_hours=72, clock=clock, ages=clock)
    activation = Activation(
        db=db,
        keys=keys,
        account_issuing=account_issuing,
        limits=limits,
        sms=queue,
        budgets=SmsBudgets(keys, shipped.SMS_BUDGETS | dict(budgets or {})),
        regions=regions,
        test_numbers={"+12015550123": "424242"},
        wake_relay=lambda: woken.append(clock()),
        clock=clock,
    )
    pairs = (("log", ""), ("getui", ""))
    device_tokens = DeviceTokens(pairs, default_provider="log", endpoints=Endpoints())
    accounts = Accounts(
        db=db,
        keys=keys,
        limits=limits,
        account_issuing=account_issuing,
        activation=activation,
        activation_required=required,
        default_provider="log",
        providers=("log", "getui"),
        device_tokens=device_tokens,
        clock=clock,
    )
    access_tokens = AccessTokens(keys)
    authentication = Authentication(
        db=db, keys=keys, access_tokens=access_tokens, limits=limits, clock=clock, monotonic=clock.seconds
    )
    hasher = CountingHasher()
    hashing, tokens = Hashing(hasher=hasher), Tokens(db=db, access_tokens=access_tokens, clock=clock)
    hasher.computations = 0
    passwords = Passwords(
        db=db,
        hashing=hashing,
        tokens=tokens,
        limits=limits,
        default_provider="log",
        device_tokens=device_tokens,
        clock=clock,
    )
    try:
        yield World(
            engine,
            db,
            keys,
            clock,
            limits,
            sms,
            queue,
            accounts,
            activation,
            authentication,
            hasher,
            hashing,
            tokens,
            passwords,
            woken,
        )
    finally:
        hashing.close()
        await queue.close()
        await db.close()
