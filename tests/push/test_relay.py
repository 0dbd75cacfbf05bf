# SPDX-License-Identifier: Apache-2.0
"""The relay over a real database: what it sends, and what becomes of each row."""

import json
from collections.abc import Sequence
from typing import TypeVar

import pytest
from sqlalchemy import bindparam, select, update

from models.db.database import Statement, Transaction
from models.db.schema import devices as devices_table
from models.db.tables import devices, outbox
from models.db.tables.outbox import Kind
from push.base import Delivered, Gone, Push, Rejected, Retry
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
T = TypeVar("T")

_FIRST_DEVICE = Statement(select(devices_table.c.device_id).order_by(devices_table.c.device_id).limit(1))
_ENDED = Statement(select(devices_table.c.ended_at))
_REPLACE_TOKENS = Statement(update(devices_table).values(token="new", token_digest=bindparam("digest")))


async def test_device_gets_the_contracts_json(world: World) -> None:
    message_id = await world.one_message()
    assert await world.relay().run_once() == 1
    [push] = world.provider.sent
    document = json.loads(push.payload)
    assert list(document) == [
        "sender_region", "sender_phone", "sender_uid", "message_id", "message_key", "send_time"
    ]  # fmt: skip
    assert document["sender_region"] == "86"
    assert document["sender_phone"] == "hash of sender"
    assert document["message_id"] == message_id
    assert push.token == "t"
    assert push.ttl_seconds == 86_400
    assert await world.states() == ["delivered"]
    assert await world.relay().run_once() == 0


async def test_sender_without_phone_is_null(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    world.engine.execute("UPDATE users SET phone_cipher = NULL WHERE uid = ?", sender)
    await world.device(receiver, "t")
    await world.message(sender, receiver)
    await world.relay().run_once()
    assert json.loads(world.provider.sent[0].payload)["sender_phone"] is None


async def test_dedupe_id_is_stable_over_tries_and_unique_per_message_and_device(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "a")
    await world.device(receiver, "b")
    await world.message(sender, receiver)
    await world.message(sender, receiver)
    world.provider.script = lambda _: Retry("later", provider_fault=False)
    relay = world.relay()
    await relay.run_once()
    world.clock.passes(10)
    await relay.run_once()
    first, second = world.provider.calls
    assert len({push.dedupe_id for push in first}) == 4
    assert {(p.dedupe_id, p.token, p.payload) for p in first} == {(p.dedupe_id, p.token, p.payload) for p in second}
    assert all(len(push.dedupe_id) == 32 for push in first)


async def test_two_retrievals_of_one_device_have_two_dedupe_ids(world: World) -> None:
    owner = await world.person()
    device_id = await world.device(owner, "t")
    now = world.clock()

    async def unit(tx: Transaction) -> None:
        for _ in range(2):
            await outbox.insert_for_device(
                tx, kind=Kind.ACCOUNT_RETRIEVED, message_id=None, device_id=device_id, now=now, give_up_at=now + 9000
            )

    await world.db.write(unit)
    await world.relay().run_once()
    first, second = world.provider.sent
    assert first.payload == '{"type":"account_retrieved"}'
    assert first.dedupe_id != second.dedupe_id


@pytest.mark.parametrize("state", ["consumed", "expired", "recalled", "lost"])
async def test_message_no_longer_pending_is_dropped_unsent(world: World, state: str) -> None:
    await world.set_state(await world.one_message(), state)
    await world.relay().run_once()
    [(row_state, attempts, reason, _)] = await world.rows()
    assert (row_state, attempts, reason) == ("dropped", 0, state)
    assert world.provider.calls == []


async def test_message_past_its_time_is_dropped_unsent(world: World) -> None:
    await world.one_message()
    world.clock.passes(86_400)
    await world.relay().run_once()
    assert await world.states() == ["dropped"]
    assert world.provider.calls == []


async def test_token_that_moved_to_another_account_is_not_told_the_old_ones_messages(world: World) -> None:
    await world.one_message()
    await world.device(await world.person(), "t")
    await world.relay().run_once()
    assert await world.states() == ["dropped"]
    assert world.provider.calls == []


async def test_ended_device_is_told_of_the_retrieval_and_of_no_message(world: World) -> None:
    await world.one_message()
    [(device_id,)] = await world.db.read(_FIRST_DEVICE)
    now = world.clock()
    receiver = (await world.device_row(device_id))[0]

    async def retrieve(tx: Transaction) -> None:
        for ended in await devices.end_all(tx, uid=receiver, now=now):
            await outbox.insert_for_device(
                tx, kind=Kind.ACCOUNT_RETRIEVED, message_id=None, device_id=ended, now=now, give_up_at=now + 9000
            )

    await world.db.write(retrieve)
    await world.relay().run_once()
    assert await world.states() == ["dropped", "delivered"]
    assert [push.payload for push in world.provider.sent] == ['{"type":"account_retrieved"}']


async def test_retry_backs_off_and_honours_what_the_provider_asks(world: World) -> None:
    await world.one_message()
    world.provider.script = lambda _: Retry("limit", after=60)
    await world.relay().run_once()
    [(state, attempts, reason, next_at)] = await world.rows()
    assert (state, attempts, reason) == ("due", 1, "limit")
    assert world.clock() + 60_000 <= next_at <= world.clock() + 61_000


async def test_row_is_dead_when_its_time_is_over(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    await world.message(sender, receiver, give_up=50_000)
    world.provider.script = lambda _: Retry("limit", after=60)
    await world.relay().run_once()
    assert (await world.rows())[0][:3] == ("dead", 1, "gave up: limit")


async def test_rejected_is_dead_and_keeps_the_device(world: World) -> None:
    await world.one_message()
    world.provider.script = lambda _: Rejected("too big")
    await world.relay().run_once()
    assert (await world.rows())[0][:3] == ("dead", 1, "rejected: too big")
    assert [row[0] for row in await world.db.read(_ENDED)] == [None]


async def test_stale_is_delivered_and_marks_the_device(world: World) -> None:
    await world.one_message()
    world.provider.script = lambda _: Delivered(stale=True)
    await world.relay().run_once()
    [(device_id,)] = await world.db.read(_FIRST_DEVICE)
    _, ended_at, stale_at = await world.device_row(device_id)
    assert (ended_at, stale_at) == (None, world.clock())
    assert await world.states() == ["delivered"]


async def test_gone_ends_the_device(world: World) -> None:
    await world.one_message()
    world.provider.script = lambda _: Gone("unregistered")
    await world.relay().run_once()
    assert await world.states() == ["dead"]
    assert [row[0] for row in await world.db.read(_ENDED)] == [world.clock()]


async def test_late_gone_spares_a_token_registered_while_it_was_asked(world: World) -> None:
    await world.one_message()
    [(device_id,)] = await world.db.read(_FIRST_DEVICE)
    receiver = (await world.device_row(device_id))[0]

    async def register_again(_: Sequence[Push]) -> None:
        world.clock.passes(1)
        await world.device(receiver, "t")

    world.provider.before = register_again
    world.provider.script = lambda _: Gone("unregistered")
    await world.relay().run_once()
    assert (await world.device_row(device_id))[1] is None


async def test_late_gone_spares_a_token_that_was_replaced(world: World) -> None:
    await world.one_message()
    [(device_id,)] = await world.db.read(_FIRST_DEVICE)

    async def replace(_: Sequence[Push]) -> None:
        async def unit(tx: Transaction) -> None:
            await tx.execute(_REPLACE_TOKENS, digest=devices.token_digest("new"))

        await world.db.write(unit)

    world.provider.before = replace
    world.provider.script = lambda _: Gone("unregistered")
    await world.relay().run_once()
    assert (await world.device_row(device_id))[1] is None
