# SPDX-License-Identifier: Apache-2.0
"""A real database with people, devices and messages, and a relay over it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update

from models.db.database import Database, Row, Statement, Transaction
from models.db.schema import deliveries, messages
from models.db.schema import devices as devices_table
from models.db.schema import outbox as outbox_table
from models.db.tables import outbox
from models.db.tables.devices import DeviceId
from models.db.tables.outbox import Kind
from models.user import UserId
from push.relay import Relay
from tests.support.clock import Clock
from tests.support.engines import Engine
from tests.support.people import add_device, add_person
from tests.support.scripted import ScriptedProvider

DAY = 86_400_000

INSERT_MESSAGE = Statement(
    insert(messages).values(
        message_key=bindparam("key"),
        sender_uid=bindparam("sender"),
        receiver_uid=bindparam("receiver"),
        send_time=bindparam("now"),
        exist=1,
        filetype="image/png",
        size=1,
        sha256=b"\0" * 32,
        caption="",
        expires_at=bindparam("until"),
        stored=1,
    )
)
INSERT_DELIVERY = Statement(
    insert(deliveries).values(
        message_id=bindparam("message"),
        receiver_uid=bindparam("receiver"),
        sender_uid=bindparam("sender"),
        state="pending",
    )
)
SET_STATE = Statement(
    update(deliveries).where(deliveries.c.message_id == bindparam("message")).values(state=bindparam("to"))
)
ROWS = Statement(
    select(outbox_table.c.state, outbox_table.c.attempts, outbox_table.c.reason, outbox_table.c.next_at).order_by(
        outbox_table.c.outbox_id
    )
)
DEVICE = Statement(
    select(devices_table.c.uid, devices_table.c.ended_at, devices_table.c.stale_at).where(
        devices_table.c.device_id == bindparam("device")
    )
)


@dataclass
class World:
    engine: Engine
    db: Database
    clock: Clock
    provider: ScriptedProvider

    async def person(self, cipher: bytes = b"cipher") -> UserId:
        return await self.db.write(partial(add_person, now=self.clock(), cipher=cipher))

    async def device(self, uid: UserId, token: str, provider: str = "log", app: str = "") -> DeviceId:
        now = self.clock()

        async def unit(tx: Transaction) -> DeviceId:
            return await add_device(
                tx, uid=uid, now=now, token=token, provider=provider, app=app, device_type="ANDROID"
            )

        return await self.db.write(unit)

    async def message(self, sender: UserId, receiver: UserId, *, ttl: int = DAY, give_up: int = 3 * DAY) -> int:
        """A message to one person, and its outbox rows."""
        now = self.clock()

        async def unit(tx: Transaction) -> int:
            key = f"{sender}-{receiver}-{now}-{ttl}-{len(await tx.read(ROWS))}"
            people = {"sender": sender, "receiver": receiver}
            inserted = await tx.execute(INSERT_MESSAGE, **people, key=key, now=now, until=now + ttl)
            message_id = inserted.last_id
            await tx.execute(INSERT_DELIVERY, **people, message=message_id)
            await outbox.insert_for_person(
                tx, kind=Kind.MESSAGE, message_id=message_id, uid=receiver, now=now, give_up_at=now + give_up
            )
            return message_id

        return await self.db.write(unit)

    async def heap(
        self,
        people: int,
        *,
        each: int = 1,
        devices: int = 1,
        provider: str = "log",
        app: str = "",
        in_turn: bool = False,
    ) -> None:
        """`each` messages to each of so many new people with so many `devices`; all due now, one person after the
        other, or `in_turn` one message to each and so on.
        """
        now = self.clock()

        async def unit(tx: Transaction) -> None:
            sender = await add_person(tx, now=now, cipher=b"sender")
            receivers = [await add_person(tx, now=now, cipher=b"receiver") for _ in range(people)]
            for number, receiver in enumerate(receivers):
                for device in range(devices):
                    token = f"{provider}{app}-{receiver}-{number + device}"
                    await add_device(tx, uid=receiver, now=now - 1, provider=provider, app=app, token=token)
            in_order = [(receiver, count) for receiver in receivers for count in range(each)]
            for receiver, count in sorted(in_order, key=lambda one: one[1]) if in_turn else in_order:
                both = {"sender": sender, "receiver": receiver}
                made = await tx.execute(
                    INSERT_MESSAGE, **both, key=f"heap-{receiver}-{count}", now=now, until=now + 3 * DAY
                )
                await tx.execute(INSERT_DELIVERY, **both, message=made.last_id)
                await outbox.insert_for_person(
                    tx, kind=Kind.MESSAGE, message_id=made.last_id, uid=receiver, now=now, give_up_at=now + 3 * DAY
                )

        await self.db.write(unit)

    async def one_message(self) -> int:
        """Person 1 sends to person 2, who has one device with token `t`."""
        sender, receiver = await self.person(b"sender"), await self.person(b"receiver")
        await self.device(receiver, "t")
        self.clock.passes(1)
        return await self.message(sender, receiver)

    async def set_state(self, message_id: int, state: str) -> None:
        async def unit(tx: Transaction) -> None:
            await tx.execute(SET_STATE, message=message_id, to=state)

        await self.db.write(unit)

    async def rows(self) -> list[Row]:
        """(state, attempts, reason, next_at) of each outbox row."""
        return await self.db.read(ROWS)

    async def states(self) -> list[str]:
        return [row[0] for row in await self.rows()]

    async def device_row(self, device_id: DeviceId) -> Row:
        """(uid, ended_at, stale_at)"""
        [row] = await self.db.read(DEVICE, device=device_id)
        return row

    def relay(self, *others: ScriptedProvider, **options: Any) -> Relay:
        providers = {(provider.name, provider.app): provider for provider in (self.provider, *others)}
        return Relay(self.db, providers, _phone_hash_of, clock=self.clock, monotonic=self.clock.seconds, **options)


def _phone_hash_of(cipher: bytes) -> str:
    if cipher == b"poison":
        raise ValueError("no such key")
    return "hash of " + cipher.decode()


@pytest.fixture
async def world(engine: Engine, anyio_backend: str) -> AsyncIterator[World]:
    assert anyio_backend == "asyncio"
    db = await engine.open()
    yield World(engine, db, Clock(), ScriptedProvider())
    await db.close()
