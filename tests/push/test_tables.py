# SPDX-License-Identifier: Apache-2.0
"""The `devices` and `outbox` tables."""

import pytest

from models.db.database import Transaction
from models.db.tables import devices, outbox, outbox_summary
from models.db.tables.outbox import Kind, State
from models.db.tables.outbox_summary import Wanted
from tests.push.conftest import World

pytestmark = pytest.mark.anyio
LOG = ("log", "")


async def test_same_token_again_keeps_its_device(world: World) -> None:
    owner = await world.person()
    first = await world.device(owner, "t")
    world.clock.passes(5)
    assert await world.device(owner, "t") == first
    [device] = await devices.list_active(world.db, uid=owner)
    assert device.registered_at == world.clock()
    assert await world.device(owner, "t", provider="getui") != first


async def test_token_that_moves_leaves_the_first_account(world: World) -> None:
    first, second = await world.person(), await world.person()
    left = await world.device(first, "t")
    device_id = await world.device(second, "t")
    assert device_id != left
    assert await devices.list_active(world.db, uid=first) == []
    assert [device.device_id for device in await devices.list_active(world.db, uid=second)] == [device_id]
    assert await world.device(first, "t") not in {left, device_id}
    assert await devices.list_active(world.db, uid=second) == []


async def test_ended_device_comes_back_when_its_token_is_registered(world: World) -> None:
    owner = await world.person()
    device_id = await world.device(owner, "t")
    assert await world.db.write(lambda tx: devices.end_all(tx, uid=owner, now=1)) == [device_id]
    assert await devices.list_active(world.db, uid=owner) == []
    await world.device(owner, "t")
    assert len(await devices.list_active(world.db, uid=owner)) == 1


async def test_end_all_spares_the_one_named(world: World) -> None:
    owner, other = await world.person(), await world.person()
    ids = [await world.device(owner, token) for token in "abc"]
    foreign = await world.device(other, "d")
    ended = await world.db.write(lambda tx: devices.end_all(tx, uid=owner, now=1, except_device_id=ids[1]))
    assert ended == [ids[0], ids[2]]
    assert [device.device_id for device in await devices.list_active(world.db, uid=owner)] == [ids[1]]
    assert (await world.device_row(foreign))[1] is None


async def test_person_gets_one_row_per_active_device(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "a")
    await world.db.write(lambda tx: devices.end_all(tx, uid=receiver, now=1))
    for token in "bc":
        await world.device(receiver, token)
    await world.device(sender, "d")
    await world.message(sender, receiver)
    assert await world.states() == ["due", "due"]


async def test_claim_leases_longest_due_first_and_nothing_twice(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    sent = []
    for _ in range(3):
        sent.append(await world.message(sender, receiver))
        world.clock.passes(1)
    now = world.clock()

    async def claim(lease: str) -> list[int | None]:
        async def unit(tx: Transaction) -> list[int | None]:
            rows = await outbox.claim(tx, lane=LOG, now=now, lease=lease, lease_until=now + 9000, limit=2)
            return [row.message_id for row in rows]

        return await world.db.write(unit)

    assert [await claim(lease) for lease in ("first", "second", "third")] == [sent[:2], sent[2:], []]
    lanes = outbox.due_lanes([("getui", ""), LOG])
    assert await outbox.list_due_lanes(world.db, lanes, now=now + 8999) == set()
    assert await outbox.list_due_lanes(world.db, lanes, now=now + 9000) == {1}


async def test_row_dropped_while_it_is_sent_stays_dropped(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    await world.message(sender, receiver)

    async def drop(_: object) -> None:
        [row] = await outbox_summary.list_some(world.db, Wanted(state=State.DUE), limit=9)
        await world.db.write(lambda tx: outbox_summary.drop(tx, [row.outbox_id], reason="by hand", now=5))

    world.provider.before = drop
    await world.relay().run_once()
    assert await world.states() == ["dropped"]


async def test_purge_takes_what_is_settled_and_then_the_ended_devices(world: World) -> None:
    sender, receiver = await world.person(), await world.person()
    await world.device(receiver, "t")
    for _ in range(3):
        await world.message(sender, receiver)
    await world.relay().run_once()
    await world.message(sender, receiver)
    now = world.clock()
    await world.db.write(lambda tx: devices.end_all(tx, uid=receiver, now=now))
    assert await world.db.write(lambda tx: outbox.purge_settled(tx, before=now, limit=9)) == 0
    assert await world.db.write(lambda tx: outbox.purge_settled(tx, before=now + 1, limit=2)) == 2
    assert await world.db.write(lambda tx: outbox.purge_settled(tx, before=now + 1, limit=2)) == 1
    assert await world.states() == ["due"]
    assert await world.db.write(lambda tx: devices.purge_ended(tx, before=now + 1, limit=9)) == 0
    await world.relay().run_once()
    assert await world.states() == ["dropped"]
    assert await world.db.write(lambda tx: outbox.purge_settled(tx, before=now + 1, limit=9)) == 1
    assert await world.db.write(lambda tx: devices.purge_ended(tx, before=now + 1, limit=9)) == 1


async def test_retrieval_row_of_a_device_registered_since_is_dropped(world: World) -> None:
    owner = await world.person()
    device_id = await world.device(owner, "t")
    now = world.clock()

    async def retrieve(tx: Transaction) -> int:
        kind = Kind.ACCOUNT_RETRIEVED
        return await outbox.insert_for_device(
            tx, kind=kind, message_id=None, device_id=device_id, now=now, give_up_at=now + 9000
        )

    await world.db.write(retrieve)
    world.clock.passes(1)
    await world.device(owner, "t")
    await world.relay().run_once()
    assert await world.states() == ["dropped"]
