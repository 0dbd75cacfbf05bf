# SPDX-License-Identifier: Apache-2.0
"""What accounts of one network, and all together, may ask about: what is shared bites over half and leaves a floor."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from models.errors import DiscoveryBudget, RateLimited
from services.authentication import Caller
from services.discovery import FLOOR, Discovery, DiscoveryBudgets
from services.limits import Limits
from tests.services.accounts.world import World
from tests.services.interleaving import open_interleaving
from tests.support import shipped
from tests.support.engines import Engine
from tests.support.harness import phone_number

pytestmark = pytest.mark.anyio

HERE, BESIDE, ELSEWHERE = "192.0.2.1", "192.0.2.99", "203.0.113.1"


def discovery_of(world: World, **budgets: int) -> Discovery:
    most = {"per_day": 2000, "per_network_per_day": 100_000, "total_per_day": 100_000, **budgets}
    return Discovery(
        db=world.db,
        keys=world.keys,
        limits=world.limits,
        budgets=DiscoveryBudgets(**most),
        limits_enabled=True,
        clock=world.clock,
    )


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with open_interleaving(engine) as opened:
        yield opened


async def newcomer(world: World) -> Caller:
    return await world.login(await world.register(phone_num=phone_number()))


async def asks(discovery: Discovery, caller: Caller, count: int, address: str) -> bool:
    hashes = [secrets.token_hex(32) for _ in range(count)]
    try:
        await discovery.discover(caller, {"phone_hashes": hashes}, address)
    except DiscoveryBudget:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "address", "is_shared"),
    [
        ("per_network_per_day", BESIDE, True),
        ("per_network_per_day", ELSEWHERE, False),
        ("total_per_day", ELSEWHERE, True),
    ],
)
async def test_what_is_shared_bites_over_half_and_leaves_each_account_a_floor(
    world: World, kind: str, address: str, is_shared: bool
) -> None:
    discovery = discovery_of(world, **{kind: 1000})
    greedy, other = await newcomer(world), await newcomer(world)
    assert await asks(discovery, greedy, FLOOR, HERE)
    assert await asks(discovery, greedy, 450, HERE), "the half is not yet spent"
    assert not await asks(discovery, greedy, 1, HERE)
    assert await asks(discovery, other, FLOOR + 1, address) is not is_shared
    for _ in range(FLOOR):
        assert await asks(discovery, other, 1, address)
    assert await asks(discovery, other, 1, address) is not is_shared


async def test_a_refusal_costs_nothing(world: World) -> None:
    discovery = discovery_of(world, per_day=100, total_per_day=160)
    caller = await newcomer(world)
    assert not await asks(discovery, caller, 101, HERE)
    assert not await asks(discovery, caller, 81, HERE)
    assert await asks(discovery, caller, 80, HERE)


async def test_numbers_as_people_type_them_are_counted_before_they_are_read_even_if_they_are_none(world: World) -> None:
    caller, other = await newcomer(world), await newcomer(world)
    rates = shipped.rates(per_account={"typed_numbers": "1000/hour"})
    limits = Limits(db=world.db, keys=world.keys, monotonic=lambda: 0.5, **rates)
    discovery = replace(discovery_of(world), limits=limits)
    typed = {"phone_nums": ["no number"] * 500}
    assert [await discovery.discover(caller, typed, HERE) for _ in range(2)] == [[], []]
    with pytest.raises(RateLimited):
        await discovery.discover(caller, {"phone_nums": ["one more"]}, HERE)
    assert await asks(discovery, caller, 500, HERE), "hashes need no reading"
    assert await discovery.discover(other, typed, HERE) == []
