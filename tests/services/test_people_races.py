# SPDX-License-Identifier: Apache-2.0
"""Many at once over one database: people who leave, ask each other and change hands, as if one after the other.

SQLite runs units one after the other by itself; on MariaDB they interleave, and each lock but that of reports
was taken away once, and each compare-and-set on tokens, tries, codes, budgets and sealed numbers: a test here failed.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from httpclient.endpoints import Endpoints
from models import key_rotation
from models.addressee import ToPerson
from models.clock import DAY_MS
from models.db.tables import erasure
from models.errors import (
    AppError,
    DiscoveryBudget,
)
from models.key_rotation import Kind
from models.keys import read_key_ring, replace_key_ring
from models.phone import phone_hash
from models.user import UserId
from services.accounts.account_issuing import Issued
from services.chat import Chat
from services.device_tokens import DeviceTokens
from services.devices import Devices
from services.discovery import Discovery, DiscoveryBudgets
from services.maintenance.key_rotation import Rotation
from services.people import People
from tests.services.accounts.mentions import left_of
from tests.services.accounts.world import World
from tests.services.interleaving import (
    at_once,
    begin,
    caller_of,
    cutting_in,
    later,
    leaving,
    newcomers,
    of,
    open_interleaving,
    phone,
)
from tests.support.engines import Engine

ADDRESS = "192.0.2.1"

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with open_interleaving(engine) as opened:
        yield opened


@pytest.fixture
def people(world: World) -> People:
    return People(db=world.db, clock=world.clock)


async def test_an_account_that_is_retrieved_while_its_person_leaves_is_gone_or_anothers(world: World) -> None:
    accounts = await newcomers(world, 4)
    confirms = [await begin(world, phone(number)) for number in range(4)]
    calls = [leaving(world).leave(issued.uid) for issued in accounts]
    answers = await at_once(call for pair in zip(confirms, calls, strict=True) for call in pair)
    for issued in accounts:
        assert left_of(world.engine, issued.uid) == []
    for retrieved in of(Issued, answers):
        found = world.rows(f"SELECT uid FROM phone_index WHERE uid = {retrieved.uid}")
        assert found == ([] if retrieved.retrieved else [(retrieved.uid,)])


async def test_a_former_owner_who_leaves_takes_nothing_from_a_numbers_new_one(world: World) -> None:
    old = await world.register()
    world.clock.now += 91 * DAY_MS
    confirm = await begin(world)
    async with cutting_in(world, erasure._CLOSE, lambda: confirm) as late:
        await leaving(world).leave(old.uid)
    proved = len(of(Issued, late))
    assert world.rows("SELECT count(*) FROM users WHERE phone_cipher IS NOT NULL") == [(proved,)]
    assert world.rows("SELECT count(*) FROM activations") == [(proved,)]


async def test_nothing_is_left_of_who_leaves_in_the_middle_of_everything(world: World, people: People) -> None:
    """Also of requests that came in before: a session goes on for a moment where a unit is under way."""
    ann, *others = await newcomers(world, 4)
    caller, gone = caller_of(ann), asyncio.Event()
    chat = Chat(db=world.db, services={}, clock=world.clock)

    async def leave() -> None:
        await leaving(world).leave(ann.uid)
        gone.set()

    async def go_on(call: Any, *args: Any) -> None:
        for _ in range(20):
            if gone.is_set():
                return
            with suppress(AppError):
                await call(*args)

    calls = [go_on(people.befriend, ann.uid, other.uid) for other in others]
    calls += [go_on(people.block, other.uid, ann.uid) for other in others]
    calls += [go_on(world.tokens.open, caller), go_on(world.accounts.renew_ukey, caller)]
    calls += [go_on(chat.username, ann.uid, name) for name in ("agora", "sendbird")]
    calls += [go_on(world.accounts.patch_me, ann.uid, {"nickname": "Anna"})]
    await asyncio.gather(*calls, leave())
    assert left_of(world.engine, ann.uid) == []


async def test_nothing_is_left_of_who_leaves_when_a_last_request_comes_with_the_last_stroke(world: World) -> None:
    ann = await world.register()
    places = DeviceTokens((("log", ""),), default_provider="log", endpoints=Endpoints())
    devices = Devices(db=world.db, tokens=places, providers={}, limits=world.limits, clock=world.clock)
    async with cutting_in(world, erasure._ERASE, lambda: devices.register(ann.uid, {"token": "late"})) as late:
        await leaving(world).leave(ann.uid)
    assert left_of(world.engine, ann.uid) == []
    assert of(AppError, late)


async def test_a_profile_whose_parts_are_changed_at_once_has_every_change(world: World) -> None:
    accounts = await newcomers(world, 6)
    changes: list[dict[str, Any]] = [{"nickname": "Bea"}, {"discoverable": False}]
    await at_once(world.accounts.patch_me(each.uid, change) for each in accounts for change in changes)
    assert world.rows("SELECT DISTINCT nickname, discoverable FROM users") == [("Bea", 0)]


async def test_people_who_ask_each_other_at_once_are_friends(world: World, people: People) -> None:
    uids = [issued.uid for issued in await newcomers(world, 8)]
    pairs = [(uids[number], uids[number + 1]) for number in range(0, 8, 2)]
    await at_once(people.befriend(*asked) for one, two in pairs for asked in ((one, two), (two, one), (one, two)))
    assert world.rows("SELECT DISTINCT state, count(*) FROM friendships GROUP BY state") == [("friends", 8)]
    assert world.rows("SELECT type, count(*) FROM events GROUP BY type ORDER BY type") == [
        ("friend_accepted", 4),
        ("friend_request", 4),
    ]


async def test_a_request_that_is_withdrawn_while_it_is_accepted_makes_no_friends(world: World, people: People) -> None:
    uids = [issued.uid for issued in await newcomers(world, 8)]
    pairs = [(uids[number], uids[number + 1]) for number in range(0, 8, 2)]
    for one, two in pairs:
        await people.befriend(one, two)
    withdrawals = [later(world, number, people.part(one, two)) for number, (one, two) in enumerate(pairs)]
    await at_once([*withdrawals, *(people.accept(two, one) for one, two in pairs)])
    assert world.rows("SELECT * FROM friendships") == []


@pytest.mark.parametrize("breaths", range(9))
async def test_who_is_blocked_while_they_ask_is_not_seen(world: World, people: People, breaths: int) -> None:
    one, two = [issued.uid for issued in await newcomers(world, 2)]
    await at_once([people.befriend(one, two), later(world, breaths, people.block(two, one))])
    assert world.rows(f"SELECT state FROM friendships WHERE uid = {two}") == []
    assert world.rows(f"SELECT state FROM friendships WHERE uid = {one}") == [("outgoing",)]
    assert world.rows("SELECT count(*) FROM blocks") == [(1,)]


async def test_a_discovery_budget_is_spent_once_however_many_ask_at_once(world: World) -> None:
    caller = await world.login(await world.register())
    budgets = DiscoveryBudgets(per_day=5, per_network_per_day=1000, total_per_day=1000)
    discovery = Discovery(
        db=world.db, keys=world.keys, limits=world.limits, budgets=budgets, limits_enabled=True, clock=world.clock
    )
    hashes = [secrets.token_hex(32) for _ in range(8)]
    answers = await at_once(discovery.discover(caller, {"phone_hashes": [each]}, ADDRESS) for each in hashes)
    assert (len(of(list, answers)), len(of(DiscoveryBudget, answers))) == (5, 3)
    other = UserId(caller.uid + 1)
    await at_once(discovery.charge_unavailable(other, ToPerson(UserId(9)), ADDRESS) for _ in range(6))
    # By each account and its floor, the one person who was named, the network and all.
    assert sorted(world.rows("SELECT spent FROM budgets")) == [(1,), (1,), (1,), (5,), (5,), (6,), (6,)]


async def test_a_person_has_one_name_at_a_chat_service(world: World) -> None:
    uid = (await world.register()).uid
    chat = Chat(db=world.db, services={}, clock=world.clock)
    names = await at_once(chat.username(uid, "agora") for _ in range(6))
    assert len(set(names)) == 1


async def test_numbers_that_change_hands_while_peppers_rotate_are_found_by_their_own(
    world: World, tmp_path: Path
) -> None:
    accounts = await newcomers(world, 12)
    world.clock.now += 91 * DAY_MS
    path = tmp_path / "keys.json"
    replace_key_ring(path, key_rotation.begun(world.keys, [Kind.PEPPER, Kind.PHONES]))
    world.keys.adopt(read_key_ring(path))
    turn = Rotation(
        db=world.db, path=path, server_runs=lambda: False, clock=world.clock, say=lambda *_: None, confirm_seconds=1
    )
    confirms = [await begin(world, phone(number)) for number in range(0, 12, 2)]
    leaves = [leaving(world).leave(accounts[number].uid) for number in range(1, 12, 2)]
    await at_once([turn.run([]), *confirms, *leaves])
    world.keys.adopt(read_key_ring(path))
    numbers = world.rows("SELECT uid, phone_cipher FROM users WHERE phone_cipher IS NOT NULL ORDER BY uid")
    digests = [
        (uid, world.keys.phone_digest(phone_hash(world.keys.decrypt_phone(each))).digest) for uid, each in numbers
    ]
    assert len(digests) == 6
    assert world.rows("SELECT uid, digest FROM phone_index WHERE version = 2 ORDER BY uid") == digests
