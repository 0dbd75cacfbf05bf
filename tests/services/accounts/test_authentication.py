# SPDX-License-Identifier: Apache-2.0
"""Who is let in, who is not, and what that costs."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from models.clock import DAY_MS
from models.db.sqlite.connection import connect
from models.db.sqlite.engine import SqliteDatabase
from models.errors import RateLimited, Unauthenticated
from models.keys import new_secret
from models.phone import phone_hash
from services.authentication import MAX_RECALLED, RECALLED_SECONDS
from tests.services.accounts.world import E164, OTHER, World
from tests.support.engines import ON_SQLITE, Engine, SqliteEngine, mariadb_server

pytestmark = pytest.mark.anyio

UNKNOWN = phone_hash("+8613700137000")
HOSTILE = ["", "x", "x" * 1_000_000, "\0", "\0" * 43, "é" * 43, "\ud800" * 43, "A" * 43 + "\n", "A" * 44, "' OR 1=1--"]


async def test_the_right_ukey_is_let_in_by_one_read(world: World) -> None:
    issued = await world.register()
    world.db.reads = 0

    caller = await world.login(issued)

    assert caller.uid == issued.uid
    assert caller.phone_hash == phone_hash(E164)
    assert world.db.reads == 1
    assert issued.phone_hash not in repr(caller)


async def test_a_proof_of_a_moment_ago_costs_no_read_and_is_forgotten_soon(world: World) -> None:
    issued = await world.register()
    caller = await world.login(issued)
    authentication, proof = world.authentication, "Basic " + issued.ukey
    assert authentication.recall(proof) is None
    authentication.remember(proof, caller)
    world.db.reads = 0

    assert authentication.recall(proof) == caller
    assert authentication.recall(proof + "x") is None
    assert world.db.reads == 0
    authentication.forget(proof)
    assert authentication.recall(proof) is None
    authentication.remember(proof, caller)
    world.clock.passes(RECALLED_SECONDS)
    assert authentication.recall(proof) is None


async def test_an_access_token_is_recalled_no_longer_than_it_lasts(world: World) -> None:
    caller = replace(await world.login(await world.register()), expires_at=world.clock() + 1000)
    world.authentication.remember("Bearer", caller)
    world.clock.passes(0.999)
    assert world.authentication.recall("Bearer") == caller
    world.clock.passes(0.001)
    assert world.authentication.recall("Bearer") is None


async def test_of_many_proofs_the_oldest_is_forgotten(world: World) -> None:
    caller = await world.login(await world.register())
    for number in range(MAX_RECALLED + 1):
        world.authentication.remember(str(number), caller)
    assert world.authentication.recall("0") is None
    assert world.authentication.recall("1") == world.authentication.recall(str(MAX_RECALLED)) == caller


async def test_an_unknown_phone_and_a_wrong_ukey_look_and_cost_the_same(world: World) -> None:
    issued = await world.register()
    seen = []
    for hashed in (issued.phone_hash, UNKNOWN):
        world.db.reads = 0
        with pytest.raises(Unauthenticated) as refused:
            await world.authentication.basic(hashed, new_secret(), "192.0.2.1")
        seen.append((str(refused.value), refused.value.code, refused.value.retry_after, world.db.reads))

    assert seen[0] == seen[1]
    assert seen[0][3] == 1


@pytest.mark.parametrize("bad", HOSTILE)
async def test_hostile_credentials_are_only_wrong(world: World, bad: str) -> None:
    issued = await world.register()

    with pytest.raises(Unauthenticated):
        await world.authentication.basic(issued.phone_hash, bad, "192.0.2.1")
    with pytest.raises(Unauthenticated):
        await world.authentication.basic(bad, issued.ukey, "192.0.2.1")
    assert (await world.login(issued)).uid == issued.uid


async def test_another_persons_ukey_is_wrong(world: World) -> None:
    ann, bob = await world.register(), await world.register(OTHER)

    with pytest.raises(Unauthenticated):
        await world.login(ann, bob.ukey)


async def test_a_disabled_person_is_not_let_in(world: World) -> None:
    issued = await world.register()
    await world.disable(issued.uid)

    with pytest.raises(Unauthenticated):
        await world.login(issued)


async def test_guessing_is_refused_and_the_victim_is_not(world: World) -> None:
    issued = await world.register()
    answers: dict[str, int] = {}
    for _ in range(1_000):
        try:
            await world.login(issued, new_secret(), "198.51.100.66")
        except (Unauthenticated, RateLimited) as error:
            answers[error.code] = answers.get(error.code, 0) + 1

    assert answers == {"unauthenticated": 300, "rate_limited": 700}
    assert (await world.login(issued, address="192.0.2.1")).uid == issued.uid
    assert (await world.login(issued, address="198.51.100.66")).uid == issued.uid


@ON_SQLITE
async def test_guessing_at_many_phones_is_refused_by_address(world: World) -> None:
    async def guess(number: int) -> str:
        with pytest.raises((Unauthenticated, RateLimited)) as refused:
            await world.authentication.basic(phone_hash(f"+86137{number:08d}"), new_secret(), "198.51.100.66")
        return str(refused.value.code)

    codes = await asyncio.gather(*map(guess, range(3_100)))
    assert Counter(codes) == {"unauthenticated": 3_000, "rate_limited": 100}
    with pytest.raises(Unauthenticated):
        await world.authentication.basic(UNKNOWN, new_secret(), "198.51.100.67")


async def test_a_renewed_ukey_ends_the_old_one_on_its_first_use(world: World) -> None:
    issued = await world.register()
    fresh = await world.accounts.renew_ukey(await world.login(issued))

    await world.login(issued)
    await world.login(issued, fresh)
    with pytest.raises(Unauthenticated):
        await world.login(issued)
    assert (await world.login(issued, fresh)).uid == issued.uid


async def test_an_old_ukey_lives_a_day_at_most(world: World) -> None:
    issued = await world.register()
    caller = await world.login(issued)
    await world.accounts.renew_ukey(caller)
    world.clock.now += DAY_MS - 1
    fresh = await world.accounts.renew_ukey(await world.login(issued))
    world.clock.now += 1

    with pytest.raises(Unauthenticated):
        await world.login(issued)
    assert (await world.login(issued, fresh)).uid == issued.uid


async def test_a_renewal_whose_reply_was_lost_is_asked_again(world: World) -> None:
    issued = await world.register()
    caller = await world.login(issued)
    lost = await world.accounts.renew_ukey(caller)
    for _ in range(20):
        fresh = await world.accounts.renew_ukey(caller)

    assert world.rows("select count(*) from credentials") == [(2,)]
    with pytest.raises(Unauthenticated):
        await world.login(issued, lost)
    assert (await world.login(issued, fresh)).uid == issued.uid


async def _settled(world: World) -> None:
    await asyncio.gather(*world.authentication._noting.values())


async def test_a_visit_is_noted_once_a_day(world: World) -> None:
    issued = await world.register()
    registered = world.clock.now
    world.clock.now += DAY_MS - 1
    world.db.writes = 0
    await world.login(issued)
    assert world.db.writes == 0

    world.clock.now += 1
    for _ in range(5):
        await world.login(issued)
    await _settled(world)
    assert world.rows("select seen_at from users") == [(registered + DAY_MS,)]

    await world.login(issued)
    await _settled(world)
    assert world.db.writes == 1


@contextmanager
def unwritable(engine: Engine) -> Iterator[None]:
    """A file that another process writes, or a server that only reads, as while a replica takes over."""
    if isinstance(engine, SqliteEngine):
        with closing(connect(engine.path, busy_milliseconds=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with closing(mariadb_server().connect()) as administrator, administrator.cursor() as cursor:
        cursor.execute("SET GLOBAL read_only = 1")
        try:
            yield
        finally:
            cursor.execute("SET GLOBAL read_only = 0")


async def test_a_database_that_takes_no_writes_still_lets_people_in(world: World) -> None:
    issued = await world.register()
    fresh = await world.accounts.renew_ukey(await world.login(issued))
    world.clock.now += DAY_MS - 1
    patient = world.authentication
    if isinstance(world.engine, SqliteEngine):
        world.authentication = replace(patient, db=SqliteDatabase(world.engine.path, busy_seconds=0.1))
    with unwritable(world.engine):
        assert (await world.login(issued, fresh)).uid == issued.uid
        assert (await world.login(issued)).uid == issued.uid
        await _settled(world)
    if world.authentication is not patient:
        await world.authentication.db.close()
        world.authentication = patient

    await world.login(issued, fresh)
    with pytest.raises(Unauthenticated):
        await world.login(issued)
