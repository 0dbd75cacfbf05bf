# SPDX-License-Identifier: Apache-2.0
"""What codes by SMS may cost: who is sent one, how many, and that a refusal costs nothing and tells nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import AppError, InvalidPhone, RegionNotAllowed, SmsLimited
from models.network import network_of
from services.accounts.account_issuing import Started
from tests.services.accounts.world import PHONE, TEST_NUMBER, World, open_world
from tests.support import shipped
from tests.support.engines import Engine, NewFolder, database_of
from tests.support.harness import Server, phone_number, running, wait_until

anyio = pytest.mark.anyio

OPEN = dict.fromkeys(shipped.SMS_BUDGETS, "1000/day")


Opened = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
async def opened(engine: Engine, tmp_path: Path) -> AsyncIterator[Opened]:
    """Opens worlds where every number needs a code, and where `budgets` is of these alone: rates are elsewhere."""
    rates = await database_of(tmp_path / "rates").open()
    yield partial(open_world, engine, required=True, rates=rates)
    await rates.close()


@pytest.fixture
async def strict(opened: Opened) -> AsyncIterator[World]:
    async with opened() as world:
        yield world


def numbered(last: int) -> dict[str, str]:
    """A number that differs from the others in its last four digits."""
    return PHONE | {"phone_num": f"1380013{last:04d}"}


async def outcome(world: World, fields: dict[str, str], address: str | None = None) -> str:
    try:
        await world.accounts.register(fields, None, address)
    except AppError as error:
        return error.code
    return "sent"


def kept(world: World) -> list[Any]:
    """All that a refusal could have left."""
    return [world.rows(f"SELECT count(*) FROM {table}") for table in ("activations", "idempotency")] + world.rows(
        "SELECT spent FROM budgets ORDER BY key_digest"
    )


@anyio
@pytest.mark.parametrize(
    ("kind", "seconds", "within", "beyond"),
    [
        ("per_number", 700, (PHONE, None), (numbered(1), None)),
        ("per_prefix", 0, (None, None), (PHONE | {"phone_num": "13900139000"}, None)),
        ("per_address_block", 0, (None, "192.0.2.{}"), (numbered(50), "192.0.3.1")),
        ("per_address_block", 0, (None, "2001:db8:1:{}::1"), (numbered(50), "2001:db8:2::1")),
        ("per_address_block", 0, (None, "::ffff:192.0.2.{}"), (numbered(50), "::ffff:192.0.3.1")),
        ("per_country", 0, (None, None), ({"region_num": "1", "phone_num": "2025550123", "nickname": "Cat"}, None)),
    ],
)
async def test_each_budget_ends_where_it_says_and_touches_nobody_else(
    opened: Opened, kind: str, seconds: int, within: tuple[Any, Any], beyond: tuple[Any, Any]
) -> None:
    async with opened(budgets=OPEN | {kind: "3/day"}) as world:
        outcomes = []
        for number in range(5):
            before = kept(world)
            address = within[1].format(number + 1) if within[1] else None
            outcomes.append(await outcome(world, within[0] or numbered(number), address))
            if outcomes[-1] != "sent":
                assert kept(world) == before
            world.clock.passes(seconds)
        assert outcomes == ["sent"] * 3 + ["sms_limited"] * 2
        assert await outcome(world, *beyond) == "sent"
        await world.code()
        assert len(world.sms.sent) == 4


@anyio
@pytest.mark.parametrize(
    ("kind", "seconds", "same"), [("per_number", 700, True), ("per_prefix", 0, False), ("total", 0, False)]
)
async def test_one_network_alone_locks_nobody_out(opened: Opened, kind: str, seconds: int, same: bool) -> None:
    async with opened(budgets=OPEN | {kind: "5/day"}) as world:
        outcomes = []
        for number in range(8):
            outcomes.append(await outcome(world, PHONE if same else numbered(number), f"198.51.100.{number}"))
            world.clock.passes(seconds)
        assert outcomes == ["sent"] * 3 + ["sms_limited"] * 5
        assert [await outcome(world, PHONE, f"192.0.2.{number}") for number in range(3)] == ["sent"] * 2 + [
            "sms_limited"
        ]


@anyio
async def test_the_total_is_for_everybody_until_its_window_ends(opened: Opened) -> None:
    async with opened(budgets=OPEN | {"total": "2/hour"}) as world:
        assert [await outcome(world, numbered(number)) for number in range(2)] == ["sent"] * 2
        with pytest.raises(SmsLimited) as refused:
            await world.accounts.register(PHONE | {"phone_num": "13900139000"}, None)
        wait = refused.value.retry_after
        assert wait == -world.clock.now % 3_600_000 // 1000 or wait == 3600
        world.clock.passes(wait - 1)
        assert await outcome(world, numbered(3)) == "sms_limited"
        world.clock.passes(1)
        assert await outcome(world, numbered(3)) == "sent"


@anyio
async def test_codes_that_are_sent_again_count_too(opened: Opened) -> None:
    async with opened(budgets=OPEN | {"total": "2/day"}) as world:
        started, _ = await world.start()
        for seconds in (60, 120):
            world.clock.passes(seconds)
            before = kept(world)
            try:
                await world.activation.resend(started.activation_id, "192.0.2.1")
            except SmsLimited:
                break
        assert kept(world) == before
        await world.code()
        assert len(world.sms.sent) == 2


@anyio
async def test_many_at_once_get_no_more_than_there_is(opened: Opened) -> None:
    async with opened(budgets=OPEN | {"per_prefix": "7/day"}) as world:
        outcomes = await asyncio.gather(*(outcome(world, numbered(number)) for number in range(50)))
        assert Counter(outcomes) == {"sent": 7, "sms_limited": 43}
        assert world.rows("SELECT count(*) FROM activations") == [(7,)]


@anyio
async def test_a_test_number_spends_nothing_and_is_asked_of_no_region(opened: Opened) -> None:
    async with opened(budgets=dict.fromkeys(shipped.SMS_BUDGETS, "1/day"), regions=["86"]) as world:
        for _ in range(5):
            assert await outcome(world, TEST_NUMBER, "192.0.2.1") == "sent"
        assert world.rows("SELECT count(*) FROM budgets") == [(0,)]
        assert await outcome(world, PHONE, "192.0.2.1") == "sent"
        assert world.rows("SELECT DISTINCT spent FROM budgets") == [(1,)]


@anyio
async def test_nothing_of_numbers_and_addresses_is_in_the_clear(strict: World) -> None:
    await strict.accounts.register(PHONE, None, "192.0.2.1")
    await strict.accounts.register(PHONE | {"phone_num": "13900139000"}, None, "192.0.2.1")
    keys = strict.rows("SELECT key_digest FROM budgets")
    assert sorted(strict.rows("SELECT spent FROM budgets")) == [(1,)] * 8 + [(2,)] * 5
    assert {len(key) for (key,) in keys} == {32}


@anyio
@pytest.mark.parametrize(
    ("regions", "fields", "allowed"),
    [
        ([], PHONE, True),
        (["86"], PHONE, True),
        (["CN"], PHONE, True),
        (["1", "US"], PHONE, False),
        (["US"], {"region_num": "1", "phone_num": "2025550123", "nickname": "x"}, True),
        # Jamaica has the calling code of the United States, and another price.
        (["US"], {"region_num": "1", "phone_num": "8765550123", "nickname": "x"}, False),
        (["1"], {"region_num": "1", "phone_num": "8765550123", "nickname": "x"}, True),
    ],
)
async def test_codes_go_to_the_regions_that_are_named(
    opened: Opened, regions: list[str], fields: dict[str, str], allowed: bool
) -> None:
    async with opened(regions=regions) as world:
        if allowed:
            assert isinstance(await world.accounts.register(fields, None), Started)
            return
        with pytest.raises(RegionNotAllowed):
            await world.accounts.register(fields, None)
        assert kept(world) == [[(0,)], [(0,)]]
        assert world.sms.sent == []


@anyio
@pytest.mark.parametrize(
    ("region_num", "phone_num"),
    [
        ("881", "612345678"),  # Globalstar
        ("870", "773111632"),  # Inmarsat
        ("882", "1612345678"),  # Thuraya and other networks of no country
        ("883", "510012345678"),
        ("979", "123456789"),  # premium of no country
        ("808", "12345678"),  # shared cost of no country
        ("878", "101234567890"),
        ("1", "9002345678"),  # premium
        ("44", "9098790123"),
        ("44", "8431234567"),  # shared cost
        ("44", "7012345678"),  # personal numbers: charged as premium
        ("49", "9001234567"),
        ("39", "8991234567"),
        ("33", "891123456"),
    ],
)
async def test_what_costs_more_than_a_mobile_is_refused_before_anybody_is_asked(
    strict: World, region_num: str, phone_num: str
) -> None:
    with pytest.raises(InvalidPhone):
        await strict.accounts.register({"region_num": region_num, "phone_num": phone_num, "nickname": "x"}, None)
    assert kept(strict) == [[(0,)], [(0,)]]
    assert strict.sms.sent == []


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_an_address_counts_for_its_block(address: str, block: str) -> None:
    assert network_of(address) == block


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {"activation": {"required": True, "budgets": {"per_number": "2/day"}}}
    with running(new_folder("budgets"), settings) as server:
        yield server
        assert server.failures() == []


def shape(reply: httpx.Response) -> tuple[Any, ...]:
    """All of a reply but what is another every time."""
    body = {name: type(value).__name__ for name, value in reply.json().items()}
    return reply.status_code, body, sorted(set(reply.headers) - {"date"}), reply.json().get("code")


def test_known_and_unknown_numbers_are_answered_alike_also_when_the_budget_is_spent(server: Server) -> None:
    known, unknown = phone_number(), phone_number()

    def ask(number: str) -> httpx.Response:
        return server.client.post("/v1/register", json={"region_num": 86, "phone_num": number, "nickname": "Ann"})

    def codes_of(number: str) -> list[str]:
        log = server.data_dir / "outbox.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split('"code": "')[1][:6] for line in lines if number in line]

    started = ask(known).json()["activation_id"]
    wait_until(lambda: bool(codes_of(known)), what="the code")
    server.client.post(f"/v1/activations/{started}", json={"code": codes_of(known)[0]})
    first = ask(unknown)
    assert (first.status_code, shape(ask(known))) == (202, shape(first))
    ask(unknown)
    refused = [ask(known), ask(unknown)]
    assert [reply.status_code for reply in refused] == [429, 429]
    assert {reply.json()["code"] for reply in refused} == {"sms_limited"}
    assert shape(refused[0]) == shape(refused[1])
