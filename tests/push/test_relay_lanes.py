# SPDX-License-Identifier: Apache-2.0
"""Lanes: each provider and app claims for itself, in full batches, at its own pace, and fairly."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import apsw
import pytest
from sqlalchemy import bindparam, func, select

from models.addressee import ToPerson
from models.clock import DAY_MS
from models.db.database import Statement, Transaction
from models.db.schema import outbox as outbox_table
from models.db.sqlite.engine import SqliteDatabase
from models.db.tables import credentials, outbox
from models.db.tables.outbox import CLAIMED_PER_PERSON
from models.user import UserId
from push.base import Delivered, Outcome, Push, Retry
from push.breaker import BreakerState
from push.lane import AWAY_SECONDS, Outage
from push.relay import Relay
from services.authentication import Caller
from services.delivery import record
from services.sending import OutgoingImage
from tests.push.conftest import World
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE
from tests.support.scripted import ScriptedProvider
from tests.support.shipped import send_policy

pytestmark = pytest.mark.anyio
OTHER = ("other", "")
PEOPLE, DEVICES, EACH = 20, 20, 10
BUSY = Retry("host busy", 60, provider_fault=False, costs_attempt=False, asked=False)
LEASED = Statement(
    select(func.count()).where(outbox_table.c.provider == bindparam("provider"), outbox_table.c.lease.is_not(None)),
    bulk=True,
)


def sizes(provider: ScriptedProvider) -> list[int]:
    return [len(call) for call in provider.calls]


async def drained(relay: Relay, world: World, *, seconds: float = 1, rounds: int = 1000) -> int:
    """Relay until nothing is due, moving the clock on each time nothing was; how many seconds went by."""
    gone = 0.0
    for _ in range(rounds):
        if not await relay.run_once():
            if "due" not in await world.states():
                return int(gone)
            world.clock.passes(seconds)
            gone += seconds
    raise AssertionError("rows are left")


async def test_an_app_s_rows_go_through_that_app_alone(world: World) -> None:
    chat = ScriptedProvider("log", "chat")
    await world.heap(2)
    await world.heap(3, app="chat")
    await world.heap(1, app="staff")
    relay = world.relay(chat)
    # MariaDB passes over a row that another lane's claim has just looked at: the next claim finds it.
    assert await relay.run_once() + await relay.run_once() == 5
    assert {push.token[:4] for push in world.provider.sent} == {"log-"}
    assert {push.token[:8] for push in chat.sent} == {"logchat-"}
    assert Counter(await world.states()) == {"delivered": 5, "due": 1}


async def test_a_backlog_goes_in_full_batches_and_one_row_goes_at_once(world: World) -> None:
    world.provider.batch_size = 64
    await world.heap(400)
    relay = world.relay(claim_limit=200)
    assert await drained(relay, world) == 0
    assert sorted(sizes(world.provider)) == [16, *[64] * 6]
    await world.heap(1)
    assert await relay.run_once() == 1
    assert sizes(world.provider)[-1] == 1


async def test_what_waits_for_a_slow_provider_is_not_claimed_and_delays_nobody(world: World) -> None:
    slow, released = ScriptedProvider("other", batch_size=1), asyncio.Event()
    hanging, delivered = asyncio.Event(), asyncio.Event()

    async def hang(_: Sequence[Push]) -> None:
        if len(slow.calls) == 2:
            hanging.set()
        await released.wait()

    async def count(_: Sequence[Push]) -> None:
        if len(world.provider.sent) == 300:
            delivered.set()

    slow.before, world.provider.before = hang, count
    await world.heap(500, provider="other")
    await world.heap(300)
    relay = world.relay(slow, calls_at_once=2, claim_limit=10, poll_seconds=0.01)
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(PATIENCE):
        await hanging.wait()
        await delivered.wait()
    # Those in the two calls, and the rest of the claim behind them: no more is taken out of the database.
    assert await world.db.read(LEASED, provider="other") == [(10,)]
    assert len(slow.calls) == 2
    released.set()
    slow.before = None
    await relay.stop()
    await running


async def test_a_provider_that_asks_to_wait_pauses_its_own_lane_alone(world: World) -> None:
    other = ScriptedProvider("other", batch_size=10)
    other.script = lambda _: Retry("HTTP 429", after=60)
    await world.heap(30, provider="other")
    relay = world.relay(other, calls_at_once=1, claim_limit=10)
    assert relay.pauses == {("log", ""): 0, OTHER: 0}
    assert await relay.run_once() == 10
    assert relay.pauses == {("log", ""): 0, OTHER: 60}
    await world.heap(1)
    for _ in range(59):
        world.clock.passes(1)
        await relay.run_once()
    assert (relay.breakers[OTHER], relay.pauses[OTHER]) == (BreakerState.CLOSED, 1)
    assert (len(other.calls), len(world.provider.calls)) == (1, 1)
    other.script = lambda _: Delivered()
    world.clock.passes(1)
    assert relay.pauses[OTHER] == 0
    await relay.run_once()
    assert len(other.calls) == 2
    await drained(relay, world)
    # Those that were never tried have cost no attempt but the one that delivered them.
    assert Counter(row[1] for row in await world.rows()) == {1: 21, 2: 10}


@pytest.mark.parametrize("jump", [-86_400, -1800, 1800, 86_400])
async def test_a_provider_that_asks_to_wait_is_left_alone_for_so_long_whatever_the_clock_does(
    world: World, jump: int
) -> None:
    world.provider.script = lambda _: Retry("HTTP 429", after=60)
    await world.heap(1)
    relay = world.relay()
    await relay.run_once()
    world.clock.jump(jump)
    world.provider.script = lambda _: Delivered()
    await world.heap(1)
    for _ in range(60):
        assert len(world.provider.calls) == 1
        await relay.run_once()
        world.clock.passes(1)
    for _ in range(3):
        await relay.run_once()
        world.clock.passes(1)
    assert await world.states() == ["delivered"] * 2


async def test_a_push_that_is_to_wait_delays_itself_alone(world: World) -> None:
    world.provider.batch_size = 1
    late = "log-2-0"

    def script(push: Push) -> Outcome:
        return Retry("HTTP 429", after=600, provider_fault=False) if push.token == late else Delivered()

    world.provider.script = script
    await world.heap(3)
    relay = world.relay()
    await relay.run_once()
    await world.heap(3)
    await relay.run_once()
    assert Counter(await world.states()) == {"delivered": 5, "due": 1}
    world.clock.passes(599)
    assert await relay.run_once() == 0


async def test_whoever_asks_for_a_day_is_asked_again_every_hour_with_one_call(world: World) -> None:
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("daily quota", after=86_400)
    await world.heap(100)
    relay = world.relay(calls_at_once=1)
    for _ in range(600):
        await relay.run_once()
        world.clock.passes(60)
    assert len(world.provider.calls) == 10


async def test_who_reads_the_log_learns_why_a_provider_is_left_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.heap(8)
    world.provider.script = lambda _: Retry("HTTP 502")
    relay = world.relay()
    for _ in range(6):
        await relay.run_once()
        world.clock.passes(3600)
    assert relay.breakers["log", ""] is not BreakerState.CLOSED
    lines = [vars(line) for line in caplog.records if "is left alone" in line.getMessage()]
    assert {(line["levelname"], line["provider"], line["reason"]) for line in lines} == {("WARNING", "log", "HTTP 502")}


async def test_an_outage_says_since_when_and_the_last_reason_until_the_provider_is_back(world: World) -> None:
    await world.heap(8)
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("HTTP 502")
    relay = world.relay(calls_at_once=1)
    assert relay.outages == {}
    await relay.run_once()
    since = world.clock()
    assert relay.outages == {("log", ""): Outage(since, "HTTP 502")}
    world.provider.script = lambda _: Retry("no connection")
    world.clock.passes(40)
    await relay.run_once()
    assert relay.outages == {("log", ""): Outage(since, "no connection")}
    world.provider.script = lambda _: Delivered()
    world.clock.passes(40)
    await relay.run_once()
    assert relay.outages == {}


async def test_a_clock_that_is_set_back_keeps_no_breaker_open(world: World) -> None:
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("503")
    await world.heap(20)
    relay = world.relay(calls_at_once=5)
    await relay.run_once()
    states, calls = [relay.breakers["log", ""]], len(world.provider.calls)
    world.clock.jump(-86_400)
    world.provider.script = lambda _: Delivered()
    await world.heap(1)
    await relay.run_once()
    assert len(world.provider.calls) == calls + 1
    assert [*states, relay.breakers["log", ""]] == [BreakerState.OPEN, BreakerState.CLOSED]


async def test_what_was_not_asked_costs_no_attempt_and_says_nothing_of_its_provider(world: World) -> None:
    def script(push: Push) -> Outcome:
        return Retry("HTTP 502") if push.token in failing else Retry("host busy", after=9, provider_fault=False, **away)

    away, failing = {"costs_attempt": False, "asked": False}, {"log-2-0", "log-3-1", "log-4-2", "log-5-3", "log-7-5"}
    world.provider.batch_size = 1
    world.provider.script = script
    await world.heap(6)
    relay = world.relay(calls_at_once=1)
    await relay.run_once()
    states = [relay.breakers["log", ""]]
    rows = await world.rows()
    assert [row[:3] for row in rows if row[1] == 0] == [("due", 0, "host busy")]
    assert Counter(row[1] for row in rows) == {1: 5, 0: 1}
    # As a probe it does not close the breaker either.
    failing.clear()
    world.clock.passes(30)
    assert await relay.run_once() == 1
    states.append(relay.breakers["log", ""])
    world.provider.script = lambda _: Delivered()
    world.clock.passes(30)
    assert await relay.run_once() == 1
    assert [*states, relay.breakers["log", ""]] == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


@pytest.mark.parametrize(("devices", "each"), [(1, 2000), (20, 100)])
async def test_one_person_with_thousands_of_rows_does_not_keep_the_others_waiting(
    world: World, devices: int, each: int
) -> None:
    await world.heap(1, each=each, devices=devices)
    world.clock.passes(1)
    await world.heap(50)
    assert await drained(world.relay(claim_limit=200), world, seconds=0.25) <= 60
    sent = [push.token for push in world.provider.sent]
    assert Counter(Counter(sent).values()) == {each: devices, 1: 50}
    greedy = {token for token, times in Counter(sent).items() if times == each}
    last = max(place for place, token in enumerate(sent) if token not in greedy)
    assert last < 10 * CLAIMED_PER_PERSON + 50
    assert len({push.dedupe_id for push in world.provider.sent}) == 2050


async def test_a_flood_to_a_host_that_is_busy_is_soon_behind_everybody_else(world: World) -> None:
    """Whoever's push came after thousands of them waits for one to each device, and not for all of them."""
    world.provider.batch_size = 1
    await world.heap(PEOPLE, each=EACH, devices=DEVICES, in_turn=True)
    world.clock.passes(1)
    bystander = await world.person()
    await world.device(bystander, "bystander")
    await world.message(bystander, bystander)
    world.provider.script = lambda push: Delivered() if push.token == "bystander" else BUSY
    relay = world.relay(claim_limit=200)
    for _ in range(EACH * PEOPLE * DEVICES // 200):
        await relay.run_once()
        if "delivered" in await world.states():
            break
    assert len(world.provider.sent) <= 2 * PEOPLE * DEVICES
    assert Counter(await world.states()) == {"delivered": 1, "due": EACH * PEOPLE * DEVICES}
    world.provider.script = lambda _: Delivered()
    await drained(relay, world)
    assert Counter(await world.states()) == {"delivered": 1 + EACH * PEOPLE * DEVICES}
    assert {attempts for _, attempts, _, _ in await world.rows()} == {1}


async def test_whoever_comes_last_is_in_the_next_claim_however_many_wait(world: World) -> None:
    await world.heap(PEOPLE, each=100)
    world.clock.passes(1)
    bystander = await world.person()
    await world.device(bystander, "bystander")
    await world.message(bystander, bystander)
    await world.relay(claim_limit=200).run_once()
    assert "bystander" in {push.token for push in world.provider.sent}


@ON_SQLITE
async def test_rows_of_a_device_that_stays_busy_are_seldom_written(world: World) -> None:
    """A row is put off by as much as those before it need, and not by the same as all."""
    rows, seconds, written = 1000, 60, 0
    await world.heap(1, each=rows)
    world.provider.batch_size = 1
    world.provider.script = lambda _: BUSY
    relay = world.relay(claim_limit=200)
    assert isinstance(world.db, SqliteDatabase)
    cursor = world.db.writes._cursor
    assert cursor

    def count(*_: object) -> None:
        nonlocal written
        written += 1

    cursor.connection.set_update_hook(count)
    for _ in range(seconds):
        await relay.run_once()
        world.clock.passes(1)
    assert set(await world.states()) == {"due"}
    assert written <= rows + 3 * CLAIMED_PER_PERSON * seconds


async def test_a_push_to_a_busy_host_waits_for_its_own_host_alone(world: World) -> None:
    """Of a person with two devices, the other's pushes go out; and what comes later is tried after a few seconds."""
    both = await world.person(b"sender")
    for token in ("busy", "free"):
        await world.device(both, token)
    world.provider.batch_size = 1
    world.provider.script = lambda push: BUSY if push.token == "busy" else Delivered()
    relay = world.relay()
    for _ in range(3):
        world.clock.passes(1)
        await world.message(both, both)
        await relay.run_once()
    assert Counter(push.token for push in world.provider.sent) == {"free": 3, "busy": 1}
    world.clock.passes(AWAY_SECONDS)
    await relay.run_once()
    assert Counter(push.token for push in world.provider.sent) == {"free": 3, "busy": 3}, "the first waits for longer"


async def test_six_hours_without_a_provider_harm_no_sender_and_are_made_up_for(world: World) -> None:
    """Sends go on as ever, and pushes by other providers; then all arrive, oldest first, each once, within 15 min."""
    sender, there, away = await caller(world), await world.person(), await world.person()
    await world.device(there, "there")
    await world.device(away, "away", provider="other")
    other = ScriptedProvider("other", batch_size=50)
    other.script = lambda _: Retry("HTTP 502")
    relay = world.relay(other)
    sent: list[int] = []
    for step in range(6 * 30):
        to = away if step % 2 else there
        sent.append(await send(world, sender, to, step))
        for _ in range(2):
            await relay.run_once()
            world.clock.passes(60)
    assert relay.breakers[OTHER] is BreakerState.OPEN
    assert len(world.provider.sent) == 90
    assert len(other.calls) <= 6 * 60 + 10
    assert Counter(await world.states()) == {"delivered": 90, "due": 90}

    other.calls.clear()
    other.script = lambda _: Delivered()
    assert await drained(relay, world) <= 60
    told = [json.loads(push.payload)["message_id"] for push in other.sent]
    assert sorted(told) == sent[1::2]
    assert told[1] < told[-2]


async def caller(world: World) -> Caller:
    uid = await world.person()

    async def unit(tx: Transaction) -> int:
        return await credentials.insert_ukey(tx, uid=uid, digest=b"", now=world.clock())

    return Caller(uid, None, await world.db.write(unit))


async def send(world: World, sender: Caller, receiver: UserId, number: int) -> int:
    """What sending an image writes, once its bytes are safe."""
    image = OutgoingImage(
        sender=sender,
        to=ToPerson(receiver),
        size=1,
        lifetime_ms=30 * DAY_MS,
        message_key=f"key-{number}",
        filetype="image/png",
        caption="",
        sha256=bytes(32),
    )
    policy = send_policy(max_pending=999)
    now = world.clock()
    recorded = await world.db.write(partial(record, message=image, policy=policy, now=now, push_give_up_hours=72))
    return recorded.message_id


async def test_eight_relays_over_one_outbox_send_each_row_once(world: World) -> None:
    await world.heap(1000)

    async def yield_now_and_then(_: Sequence[Push]) -> None:
        await asyncio.sleep(0)

    world.provider.before, world.provider.batch_size = yield_now_and_then, 7
    relays = [world.relay(claim_limit=25) for _ in range(8)]
    while sum(await asyncio.gather(*(relay.run_once() for relay in relays))):
        pass
    assert len(world.provider.sent) == len({push.dedupe_id for push in world.provider.sent}) == 1000
    assert set(await world.states()) == {"delivered"}


@ON_SQLITE
async def test_which_lanes_are_due_is_one_step_into_the_index_each(world: World) -> None:
    statement = outbox.due_lanes([("log", ""), OTHER]).sql("sqlite")
    connection = apsw.Connection(world.engine.url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)
    bound = statement.constants | {"now": 0}
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", bound)]
    connection.close()
    searches = [line for line in plan if "outbox" in line]
    wanted = "outbox_due (state=? AND provider=? AND app=? AND next_at<?)"
    assert [line.endswith(wanted) for line in searches] == [True, True]


async def test_what_goes_back_untried_goes_back_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.provider.batch_size = 1
    world.provider.script = lambda _: Retry("no place", 5, provider_fault=False, costs_attempt=False, asked=False)
    await world.heap(100)
    units = 0
    write = world.db.write

    async def counted(unit: Callable[[Transaction], Coroutine[Any, Any, object]]) -> object:
        nonlocal units
        units += 1
        return await write(unit)

    relay = world.relay(claim_limit=200, calls_at_once=100)
    monkeypatch.setattr(world.db, "write", counted)
    assert await relay.run_once() == 100
    assert units <= 5, "a claim, and the rows in one unit, or in a few on a busy machine"
    assert Counter(await world.states()) == {"due": 100}
    assert {attempts for _, attempts, _, _ in await world.rows()} == {0}
    world.provider.script = lambda _: Delivered()
    await drained(relay, world)
    assert Counter(await world.states()) == {"delivered": 100}
