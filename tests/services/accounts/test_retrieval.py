# SPDX-License-Identifier: Apache-2.0
"""Getting an account back, and taking over a number that was given up."""

import asyncio

import pytest

from models.clock import DAY_MS
from models.db.database import Transaction
from models.db.tables import deliveries, events, messages, users
from models.errors import ActivationGone, Forbidden, Unauthenticated
from models.user import UserId
from tests.services.accounts.world import OTHER, World

pytestmark = pytest.mark.anyio


async def test_retrieval_keeps_the_account_and_ends_what_let_others_in(world: World) -> None:
    first = await world.register(cid="old", terms_version="1")
    spare = await world.accounts.renew_ukey(await world.login(first))

    second = await world.retrieve(cid="new", nickname="Somebody", terms_version="2")

    assert second.retrieved
    assert second.uid == first.uid
    for ukey in (first.ukey, spare):
        with pytest.raises(Unauthenticated):
            await world.login(first, ukey)
    assert (await world.login(second)).uid == first.uid
    assert (await world.accounts.me(first.uid))["nickname"] == "Ann"
    assert world.rows("select terms_version from users") == [("2",)]
    assert world.rows("select token from devices where ended_at is null") == [("new",)]
    told = "select kind, token, message_id, give_up_at - created_at from outbox join devices using (device_id)"
    assert world.rows(told) == [("account_retrieved", "old", None, 72 * 3600 * 1000)]
    assert world.rows("select type, uid from events") == [("account_retrieved", first.uid)]
    assert world.woken == [world.clock.now]


async def test_retrieval_shuts_out_who_knows_a_password_and_its_person_sets_another(world: World) -> None:
    first = await world.register()
    name = {"email": "ann@example.org", "password": "correct horse"}
    await world.passwords.add_name(await world.login(first), name, "192.0.2.1")

    second = await world.retrieve()

    with pytest.raises(Unauthenticated):
        await world.passwords.log_in(name, "192.0.2.1")
    assert (await world.accounts.me(second.uid))["email"] == "ann@example.org"
    await world.passwords.change(await world.login(second), {"password": "battery staple"}, "192.0.2.1")
    uid, _ = await world.passwords.log_in(name | {"password": "battery staple"}, "192.0.2.1")
    assert uid == first.uid


async def test_retrieval_on_the_same_device_tells_it_nothing(world: World) -> None:
    first = await world.register(cid="same")
    await world.retrieve(cid="same")

    assert world.rows("select uid, ended_at from devices") == [(first.uid, None)]
    assert world.rows("select count(*) from outbox") == [(0,)]


async def test_retrieval_without_a_device_ends_the_others(world: World) -> None:
    await world.register(cid="old")
    await world.retrieve()

    assert world.rows("select count(*) from devices where ended_at is null") == [(0,)]
    assert world.rows("select count(*) from outbox") == [(1,)]


async def test_a_number_given_up_belongs_to_a_newcomer(world: World) -> None:
    old = await world.register(cid="phone")
    world.clock.now += 90 * DAY_MS + 1

    new = await world.retrieve(nickname="Newcomer", cid="phone")

    assert new.uid != old.uid
    assert not new.retrieved
    with pytest.raises(Unauthenticated):
        await world.login(old)
    assert (await world.login(new)).uid == new.uid
    assert (await world.accounts.me(new.uid))["nickname"] == "Newcomer"
    forgotten = await world.accounts.me(old.uid)
    assert (forgotten["phone_hash"], forgotten["region_num"]) == (None, None)
    assert world.rows("select uid from devices where ended_at is null") == [(new.uid,)]
    assert world.rows("select count(*) from outbox") == [(0,)]
    assert world.rows("select count(*) from events") == [(0,)]


async def _image(world: World, receiver: UserId, size: int) -> None:
    """The rows of an image that waits, sent by its receiver."""
    now = world.clock.now

    async def unit(tx: Transaction) -> None:
        message_id = await messages.insert_image(
            tx,
            message_key=f"{receiver}-{size}",
            sender_uid=receiver,
            receiver_uid=receiver,
            send_time=now,
            filetype="jpeg",
            size=size,
            sha256=bytes(32),
            caption="",
            expires_at=now + DAY_MS,
        )
        await deliveries.insert_one(tx, message_id=message_id, receiver_uid=receiver, sender_uid=receiver)
        await events.append(tx, uid=receiver, kind="image", at=now, data={}, pending_count=1, pending_bytes=size)

    await world.db.write(unit)


async def test_what_waits_for_a_number_given_up_ends_with_it(world: World) -> None:
    old, bob = await world.register(), await world.register(OTHER)
    world.clock.now += 90 * DAY_MS + 1
    for uid, size in ((old.uid, 300), (bob.uid, 500), (old.uid, 700)):
        await _image(world, uid, size)

    new = await world.retrieve()

    ended, kept = ("expired", 0, world.clock.now), ("pending", 1, None)
    told = "select state, exist, purge_at from messages join deliveries using (message_id) order by message_id"
    assert world.rows(told) == [ended, kept, ended]
    counters = "select pending_count, pending_bytes from users order by uid"
    assert world.rows(counters) == [(0, 0), (1, 500), (0, 0)]
    facts = [await users.find_recipient(world.db, uid, bob.uid) for uid in (old.uid, bob.uid, new.uid)]
    assert [recipient and recipient.has_way_in for recipient in facts] == [False, True, True]


async def test_a_number_in_use_is_never_given_up(world: World) -> None:
    issued = await world.register()
    world.clock.now += 80 * DAY_MS
    await world.login(issued)
    await asyncio.gather(*world.authentication._noting.values())
    world.clock.now += 80 * DAY_MS

    assert (await world.retrieve()).uid == issued.uid


async def test_a_disabled_account_is_not_retrieved(world: World) -> None:
    issued = await world.register()
    await world.disable(issued.uid)
    started, code = await world.start()

    with pytest.raises(Forbidden):
        await world.activation.confirm(started.activation_id, {"code": code}, None)
    with pytest.raises(ActivationGone):
        await world.activation.confirm(started.activation_id, {"code": code}, None)
    assert world.rows("select count(*) from users") == [(1,)]
