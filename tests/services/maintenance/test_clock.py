# SPDX-License-Identifier: Apache-2.0
"""A wall clock that jumps, while a server runs and before it starts, destroys nothing and prolongs nothing for good."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from models.clock import DAY_MS, HOUR_MS, MINUTE_MS, SteadyClock
from models.db.database import Transaction
from models.db.tables import clock_sightings, outbox
from services.maintenance.clock_watch import ClockWatch
from services.maintenance.retention import Retention
from services.reading import Reading
from tests.services.maintenance.world import DAY, HOUR, LIFETIMES, TTL_SECONDS, Image, World
from tests.support.people import add_device

pytestmark = pytest.mark.anyio

YEAR = 365 * DAY
JUMPS = [HOUR, -HOUR, DAY, -DAY, YEAR, -YEAR]
TABLES = ("messages", "deliveries", "events", "activations", "refresh_tokens", "credentials", "idempotency", "devices")
ROWS = (
    (
        "INSERT INTO activations (activation_id, phone_digest, phone_cipher, nickname, code_hmac, attempts_left, sends,"
        " resend_at, created_at, expires_at) VALUES ('{name}', '', '', 'x', '', 5, 1, 0, {now}, {soon})"
    ),
    "INSERT INTO refresh_tokens (uid, family, digest, created_at, expires_at) VALUES ({uid}, 'f', ?, {now}, {soon})",
    "INSERT INTO credentials (uid, kind, digest, created_at, expires_at) VALUES ({uid}, 'ukey', ?, {now}, {soon})",
    (
        "INSERT INTO idempotency (key_digest, request_digest, reply, created_at, expires_at)"
        " VALUES (?, '', '{{}}', {now}, {soon})"
    ),
)


@dataclass
class Machine:
    """A wall clock ahead of the world's by `off` seconds, and a time since a boot."""

    world: World
    off: int = 0
    boot: str = "a boot"

    def wall(self) -> int:
        return self.world.clock() + self.off * 1000

    async def start(self) -> "Running":
        clock = SteadyClock(wall=self.wall, since_boot=self.world.clock, boot=self.boot)
        watch = ClockWatch(self.world.db, clock)
        await watch.begin()
        return Running(self.world, clock, watch)


@dataclass
class Running:
    """What a server does by its clock."""

    world: World
    clock: SteadyClock
    watch: ClockWatch

    async def retain(self) -> dict[str, int]:
        await self.watch.look()
        retention = Retention(
            self.world.db,
            self.world.store,
            lifetimes=LIFETIMES,
            clock=self.clock.ages,
            is_off=lambda: self.clock.jump != 0,
            monotonic=self.world.clock.seconds,
        )
        counts = await retention.run_once()
        assert counts.failed == []
        return counts.removed

    async def fill(self, name: str) -> Image:
        """An image that waits, and a row of each kind that ends by its age, all made by this server's clock."""
        world, now = self.world, self.clock()
        true, world.clock.now = world.clock.now, now
        ann, ben = await world.person(), await world.person()
        image = await world.send(ann, ben, data=name.encode())
        device = await world.db.write(partial(add_device, uid=ben, token=name, now=now))
        world.clock.now = true
        for sql in ROWS:
            digest = [name.encode()] if "?" in sql else []
            world.execute(sql.format(name=name, uid=ann, now=now, soon=now + 10 * MINUTE_MS), *digest)
        world.execute("UPDATE devices SET ended_at = ? WHERE device_id = ?", now, device)

        async def push(tx: Transaction) -> None:
            kind = outbox.Kind.MESSAGE
            await outbox.insert_for_device(
                tx, kind=kind, message_id=image.message_id, device_id=device, now=now, give_up_at=now + DAY_MS
            )

        await world.db.write(push)
        return image

    def reading(self) -> Reading:
        world = self.world
        known = world.reading()
        return Reading(
            db=world.db,
            store=world.store,
            keys=known.keys,
            wake_retention=lambda: None,
            clock=self.clock,
            ages=self.clock.ages,
        )


def counts(world: World) -> dict[str, int]:
    return {table: world.count(table) for table in (*TABLES, "outbox")}


def stretched(world: World) -> list[tuple[str, int]]:
    """What is over later than it may be."""
    now = world.clock()
    latest: dict[str, Callable[[], int]] = {
        "SELECT max(send_time) FROM messages": lambda: now,
        "SELECT max(expires_at) FROM messages": lambda: now + TTL_SECONDS * 1000,
        "SELECT max(expires_at) FROM activations": lambda: now + HOUR_MS,
        "SELECT max(expires_at) FROM refresh_tokens": lambda: now + 30 * DAY_MS,
        "SELECT max(expires_at) FROM credentials": lambda: now + DAY_MS,
        "SELECT max(expires_at) FROM idempotency": lambda: now + DAY_MS,
        "SELECT max(ended_at) FROM devices": lambda: now,
    }
    found = [(sql, int(world.rows(sql)[0][0]), most()) for sql, most in latest.items()]
    return [(sql, value - most) for sql, value, most in found if value > most + 5 * MINUTE_MS]


@pytest.mark.parametrize("jump", JUMPS)
async def test_while_it_runs(world: World, jump: int) -> None:
    machine = Machine(world)
    running = await machine.start()
    before = await running.fill("before")
    machine.off = jump
    during = await running.fill("during")
    kept = counts(world)
    world.clock.passes(4)
    assert set((await running.retain()).values()) == {0}
    machine.off = 0
    assert set((await running.retain()).values()) == {0}
    assert (counts(world), stretched(world)) == (kept, [])
    assert world.has_file(before)
    assert world.has_file(during)
    world.clock.passes(TTL_SECONDS)
    assert (await running.retain())["expired"] == 2


@pytest.mark.parametrize("boot", ["a boot", "another boot"])
@pytest.mark.parametrize("jump", JUMPS)
async def test_before_it_starts(world: World, jump: int, boot: str) -> None:
    await (await Machine(world).start()).fill("before")
    machine = Machine(world, off=jump, boot=boot)
    running = await machine.start()
    await running.retain()
    during = await running.fill("during")
    kept = counts(world)
    world.clock.passes(4)
    await running.retain()
    assert counts(world) == kept
    machine.off = 0
    running = await machine.start()
    await running.retain()
    assert (counts(world), stretched(world)) == (kept, [])
    assert world.has_file(during)
    world.clock.passes(TTL_SECONDS)
    assert (await running.retain())["expired"] == 2


@pytest.mark.parametrize("boot", ["a boot", "another boot"])
async def test_what_is_acknowledged_goes_at_once_all_the_same(world: World, boot: str) -> None:
    await (await Machine(world).start()).fill("before")
    running = await Machine(world, off=YEAR, boot=boot).start()
    image = await running.fill("now")
    [(ben,)] = world.rows("SELECT receiver_uid FROM messages WHERE message_id = ?", image.message_id)
    await running.reading().acknowledge(ben, image.key)
    assert (await running.retain())["files"] == 1
    assert not world.has_file(image)


async def test_an_operator_s_word_ends_the_wait(world: World, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(world)
    running = await machine.start()
    await running.fill("before")
    machine.off = YEAR
    assert set((await running.retain()).values()) == {0}
    assert [(line.levelname, line.__dict__["seconds"]) for line in caplog.records] == [("ERROR", YEAR)]
    right = SteadyClock(wall=machine.wall, since_boot=world.clock, boot="a boot").sighting()
    await world.db.write(partial(clock_sightings.record, sighting=right))
    assert (await running.retain())["expired"] == 1
    assert running.clock() == machine.wall()


async def test_a_machine_that_was_off_for_an_hour_waits_for_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await (await Machine(world).start()).fill("before")
    running = await Machine(world, off=HOUR, boot="another boot").start()
    assert [line.levelname for line in caplog.records] == ["WARNING"]
    world.clock.passes(HOUR - 1)
    assert (await running.retain())["activations"] == 0
    assert running.clock.jump
    world.clock.passes(1)
    await running.retain()
    assert running.clock.jump == 0
