# SPDX-License-Identifier: Apache-2.0
"""Many at once over one database: accounts, sessions and friendships stay what they would be one after the other.

SQLite runs units one after the other by itself; on MariaDB they interleave, and each test here was seen to fail there
without the lock, the compare-and-set or the unique key that it is about.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from models import rotation
from models.clock import DAY_MS
from models.db import credentials, erasure, users
from models.db.database import Changed, Database, DatabaseError, Row, Statement, Transaction, Unit, Value
from models.errors import (
    ActivationGone,
    AppError,
    CodeIncorrect,
    DiscoveryBudget,
    SmsLimited,
    Taken,
    TokenReused,
    Unauthenticated,
)
from models.keys import read_key_ring, replace_key_ring
from models.phone import phone_hash
from models.rotation import Kind
from models.user import UserId
from push.endpoints import Endpoints
from services.authentication import Caller
from services.chat import Chat
from services.device_tokens import DeviceTokens
from services.devices import Devices
from services.discovery import Discovery
from services.enrolment import Issued, Started
from services.lasting_sessions import LastingSessions
from services.leaving import Leaving
from services.people import People
from services.rotation import Rotation
from services.tokens import TokenPair
from tests.engines import Engine
from tests.identity.mentions import left_of
from tests.identity.world import PHONE, World, open_world

pytestmark = pytest.mark.anyio

T = TypeVar("T")

CONNECTIONS = 8
ADDRESS = "192.0.2.1"
OLD, NEW = "the old password", "the new password"


class Breathing(Transaction):
    """A transaction that lets the others run before each of its statements, so that they meet in its middle.

    How long that is decides what a test can find, not what it says of what is right.
    """

    breath = Statement(text("SELECT SLEEP(0.004)"))
    long_breath = Statement(text("SELECT SLEEP(0.1)"))

    def __init__(self, tx: Transaction, cut_in: "CutIn") -> None:
        self._tx = tx
        self._cut_in = cut_in
        self.touched = tx.touched

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        await self._breathe(statement)
        return await self._tx.read(statement, **params)

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        await self._breathe(statement)
        return await self._tx.execute(statement, **params)

    async def _breathe(self, statement: Statement) -> None:
        call = self._cut_in.pop(statement, None)
        if call is not None:
            call()
        await self._tx.read(self.long_breath if call else self.breath)


CutIn = dict[Statement, Callable[[], object]]
"""What to begin when a unit has come to a statement, once; the statement then waits for a while."""


class Interleaving:
    """A database whose units interleave as much as they can."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.cut_in: CutIn = {}

    async def write(self, unit: Unit[T]) -> T:
        async def breathing(tx: Transaction) -> T:
            return await unit(Breathing(tx, self.cut_in))

        return await self._real.write(breathing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def meet(self) -> None:
        """Open every connection, so that no unit has to wait for its own while others are on their way."""

        async def breathe(tx: Transaction) -> None:
            await tx.read(Breathing.breath)

        await asyncio.gather(*(self._real.write(breathe) for _ in range(CONNECTIONS)))


async def interleave(world: World) -> None:
    if world.engine.name == "mariadb":
        world.db._real = interleaving = Interleaving(world.db._real)
        await interleaving.meet()


@asynccontextmanager
async def cutting_in(
    world: World, statement: Statement, begin: Callable[[], Coroutine[Any, Any, T]]
) -> AsyncIterator[list[T | BaseException]]:
    """Begin that when a unit has come to the statement. What came of it is there at the end of the block.

    Where units are run one after the other it comes after the block.
    """
    begun: list[asyncio.Task[T]] = []
    answers: list[T | BaseException] = []

    def cut_in() -> None:
        begun.append(asyncio.create_task(begin()))

    if world.engine.name == "mariadb":
        world.db._real.cut_in[statement] = cut_in
    yield answers
    if world.engine.name == "sqlite":
        cut_in()
    answers += await asyncio.gather(*begun, return_exceptions=True)


async def later(world: World, breaths: int, call: Coroutine[Any, Any, T]) -> T:
    """A call that begins when others are some statements ahead."""

    async def breathe(tx: Transaction) -> None:
        for _ in range(breaths):
            await users.find(tx, 0)

    await world.db.write(breathe)
    return await call


async def at_once(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """What came of each, a refusal too. Raises what the database could not do."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and (
            isinstance(answer, DatabaseError) or not isinstance(answer, AppError)
        ):
            raise answer
    return answers


def of(kind: type[T], answers: Iterable[object]) -> list[T]:
    return [answer for answer in answers if isinstance(answer, kind)]


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with open_world(engine, limited=False) as opened:
        await interleave(opened)
        yield opened


@pytest.fixture
async def counted(engine: Engine) -> AsyncIterator[World]:
    """Where every number is proved, and codes are counted."""
    async with open_world(engine, required=True) as opened:
        await interleave(opened)
        yield opened


@pytest.fixture
def people(world: World) -> People:
    return People(db=world.db, clock=world.clock)


def leaving(world: World) -> Leaving:
    return Leaving(db=world.db, keys=world.keys, wake_retention=lambda: None, clock=world.clock)


def phone(number: int) -> dict[str, Any]:
    return {"region_num": "86", "phone_num": f"138{number:08d}", "nickname": "Ann"}


async def newcomers(world: World, count: int) -> list[Issued]:
    return [await world.register(phone(number)) for number in range(count)]


def caller_of(issued: Issued) -> Caller:
    return Caller(issued.uid, issued.phone_hash, issued.credential_id)


async def begin(world: World, fields: dict[str, Any] = PHONE) -> Coroutine[Any, Any, Issued]:
    """What proves the number."""
    started, code = await world.start(fields)
    return world.activation.confirm(started.activation_id, {"code": code}, None)


async def signed_up(world: World, login: str = "anna") -> tuple[UserId, Caller]:
    uid, pair = await world.passwords.sign_up({"login": login, "password": OLD})
    return uid, await world.authentication.bearer(pair.access_token)


def unused(world: World) -> list[tuple[Any, ...]]:
    return world.rows("SELECT family FROM refresh_tokens WHERE used_at IS NULL")


async def test_a_refresh_token_shown_by_many_at_once_has_one_successor(world: World) -> None:
    sessions = [await world.tokens.open(caller_of(each)) for each in await newcomers(world, 3)]
    pairs = of(TokenPair, await at_once(world.tokens.refresh(each.refresh_token) for each in sessions * 4))
    assert len(pairs) == 12
    assert len(unused(world)) == 3
    assert len(of(TokenPair, await at_once(world.tokens.refresh(each.refresh_token) for each in pairs))) == 3


async def test_a_refresh_token_shown_by_many_too_late_ends_its_family_for_good(world: World) -> None:
    pair = await world.tokens.open(caller_of(await world.register()))
    newer = await world.tokens.refresh(pair.refresh_token)
    world.clock.pass_seconds(61)
    tokens = [pair.refresh_token, newer.refresh_token] * 4
    answers = await at_once(world.tokens.refresh(token) for token in tokens)
    assert of(TokenReused, answers)
    assert unused(world) == []
    with pytest.raises(Unauthenticated):
        await world.authentication.bearer(newer.access_token)


async def test_a_session_that_is_ended_while_it_is_prolonged_has_ended(world: World) -> None:
    caller = caller_of(await world.register())
    pairs = [await world.tokens.open(caller) for _ in range(4)]
    callers = [await world.authentication.bearer(pair.access_token) for pair in pairs]
    await at_once(
        call
        for pair, each in zip(pairs, callers, strict=True)
        for call in (world.tokens.refresh(pair.refresh_token), world.tokens.close(each))
    )
    assert unused(world) == []


async def test_a_session_that_a_new_password_ends_while_it_is_prolonged_has_ended(world: World) -> None:
    _, caller = await signed_up(world)
    others = [await world.passwords.log_in({"login": "anna", "password": OLD}, ADDRESS) for _ in range(6)]
    change = world.passwords.change(caller, {"current_password": OLD, "password": NEW}, ADDRESS)
    await at_once([*(world.tokens.refresh(pair.refresh_token) for _, pair in others), change])
    assert unused(world) == [(caller.family,)]


async def test_who_logs_in_with_a_password_that_is_being_changed_is_not_in_afterwards(world: World) -> None:
    _, caller = await signed_up(world)
    change = world.passwords.change(caller, {"current_password": OLD, "password": NEW}, ADDRESS)
    logins = [world.passwords.log_in({"login": "anna", "password": OLD}, ADDRESS) for _ in range(8)]
    await at_once([change, *(later(world, number, login) for number, login in enumerate(logins))])
    assert unused(world) == [(caller.family,)]
    await world.passwords.log_in({"login": "anna", "password": NEW}, ADDRESS)


async def test_a_password_that_is_set_twice_at_once_is_set_once(world: World) -> None:
    issued = await world.register()
    wanted = [f"password number {number}" for number in range(5)]
    names = [f"login{number}" for number in range(5)]
    answers = await at_once(
        world.passwords.add_name(caller_of(issued), {"login": name, "password": each}, ADDRESS)
        for name, each in zip(names, wanted, strict=True)
    )
    [won] = [number for number, answer in enumerate(answers) if answer is None]
    assert world.rows("SELECT login FROM users") == [(names[won],)]
    await world.passwords.log_in({"login": names[won], "password": wanted[won]}, ADDRESS)


async def test_a_name_that_many_want_at_once_is_one_persons(world: World) -> None:
    signups = [world.passwords.sign_up({"login": "anna", "password": OLD}) for _ in range(6)]
    answers = await at_once(signups)
    assert (len(of(tuple, answers)), len(of(Taken, answers))) == (1, 5)
    assert world.rows("SELECT login FROM users") == [("anna",)]


async def test_sessions_beyond_the_most_end_however_many_begin_at_once(world: World) -> None:
    caller = caller_of(await world.register())
    for _ in range(48):
        await world.tokens.open(caller)
    await at_once(world.tokens.open(caller) for _ in range(6))
    assert len(unused(world)) == 50


async def test_what_lets_somebody_in_while_the_account_is_retrieved_ends_with_the_rest(world: World) -> None:
    issued = await world.register()
    _, kept = await signed_up(world)
    confirm = await begin(world)
    calls: list[Coroutine[Any, Any, Any]] = [world.tokens.open(caller_of(issued)) for _ in range(3)]
    calls += [world.accounts.renew_ukey(caller_of(issued)) for _ in range(3)]
    *_, retrieved = await at_once([*calls, confirm])
    assert isinstance(retrieved, Issued)
    assert retrieved.uid == issued.uid
    assert unused(world) == [(kept.family,)]
    assert world.rows("SELECT credential_id FROM credentials") == [(retrieved.credential_id,)]


async def test_a_ukey_renewed_by_many_at_once_leaves_the_one_that_asked_and_the_newest(world: World) -> None:
    issued = await world.register()
    await at_once(world.accounts.renew_ukey(caller_of(issued)) for _ in range(6))
    [(asked, ends_at), (_, newest_ends_at)] = world.rows(
        "SELECT credential_id, expires_at FROM credentials ORDER BY credential_id"
    )
    assert (asked, ends_at, newest_ends_at) == (issued.credential_id, world.clock.now + DAY_MS, None)


async def test_a_ukey_that_a_newer_one_ends_is_not_renewed_meanwhile(world: World) -> None:
    issued = await world.register()
    newer = await world.accounts.renew_ukey(caller_of(issued))
    async with cutting_in(
        world, credentials._DELETE_OLDER, lambda: world.accounts.renew_ukey(caller_of(issued))
    ) as late:
        caller = await world.login(issued, newer)
    assert of(Unauthenticated, late)
    assert world.rows("SELECT credential_id FROM credentials") == [(caller.credential_id,)]


async def test_of_two_ukeys_that_are_renewed_at_once_one_has_ended(world: World) -> None:
    accounts = await newcomers(world, 4)
    newer = [await world.accounts.renew_ukey(caller_of(issued)) for issued in accounts]
    rows = [world.rows(f"SELECT max(credential_id) FROM credentials WHERE uid = {each.uid}") for each in accounts]
    assert len(newer) == len(rows)
    for issued, [(newest,)] in zip(accounts, rows, strict=True):
        callers = [caller_of(issued), Caller(issued.uid, issued.phone_hash, newest)]
        answers = await at_once(world.accounts.renew_ukey(caller) for caller in callers)
        assert (len(of(str, answers)), len(of(Unauthenticated, answers))) == (1, 1)


async def test_a_code_is_good_once(world: World) -> None:
    await world.register()
    started, code = await world.start()
    answers = await at_once(world.activation.confirm(started.activation_id, {"code": code}, None) for _ in range(6))
    assert (len(of(Issued, answers)), len(of(ActivationGone, answers))) == (1, 5)


async def test_a_code_is_guessed_five_times_however_many_guess_at_once(world: World) -> None:
    await world.register()
    started, code = await world.start()
    wrong = "1" + code if len(code) == 6 else "0"
    answers = await at_once(world.activation.confirm(started.activation_id, {"code": wrong}, None) for _ in range(12))
    left = [error.extra["attempts_left"] for error in of(CodeIncorrect, answers)]
    assert (sorted(left), len(of(ActivationGone, answers))) == ([0, 1, 2, 3, 4], 7)


async def test_a_number_begins_three_activations_however_many_are_asked_for_at_once(counted: World) -> None:
    answers = await at_once(counted.accounts.register(PHONE, None) for _ in range(5))
    assert (len(of(Started, answers)), len(of(SmsLimited, answers))) == (3, 2)
    assert counted.rows("SELECT count(*) FROM activations") == [(3,)]


async def test_a_code_is_sent_again_once_however_many_ask_at_once(world: World) -> None:
    await world.register()
    started, _ = await world.start()
    world.clock.pass_seconds(60)
    answers = await at_once(world.activation.resend(started.activation_id) for _ in range(5))
    assert len(of(Started, answers)) == 1
    assert world.rows("SELECT sends FROM activations") == [(2,)]


async def test_a_number_proved_by_many_at_once_is_one_account(world: World) -> None:
    world.accounts._activation_required = True
    confirms = [await begin(world) for _ in range(4)]
    issued = of(Issued, await at_once(confirms))
    assert len(issued) == 4
    assert len({each.uid for each in issued}) == 1
    assert sorted(each.retrieved for each in issued) == [False, True, True, True]
    assert world.rows("SELECT count(*) FROM users") == [(1,)]


async def test_a_number_that_was_given_up_and_is_proved_by_two_at_once_is_one_newcomers(world: World) -> None:
    old = await world.register()
    world.clock.now += 91 * DAY_MS
    confirms = [await begin(world) for _ in range(3)]
    issued = of(Issued, await at_once(confirms))
    [uid] = {each.uid for each in issued}
    assert (len(issued), uid > old.uid) == (3, True)
    assert sorted(each.retrieved for each in issued) == [False, True, True]
    assert world.rows("SELECT uid FROM users WHERE phone_cipher IS NOT NULL") == [(uid,)]


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
    accounts = await newcomers(world, 4)
    world.clock.now += 91 * DAY_MS
    confirms = [await begin(world, phone(number)) for number in range(4)]
    leaves = [later(world, number, leaving(world).leave(issued.uid)) for number, issued in enumerate(accounts)]
    answers = await at_once([*leaves, *confirms])
    proved = of(Issued, answers)
    assert world.rows("SELECT count(*) FROM users WHERE phone_cipher IS NOT NULL") == [(len(proved),)]
    assert world.rows("SELECT count(*) FROM activations") == [(len(proved),)]


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


async def test_who_is_blocked_while_they_ask_is_not_seen(world: World, people: People) -> None:
    uids = [issued.uid for issued in await newcomers(world, 8)]
    pairs = [(uids[number], uids[number + 1]) for number in range(0, 8, 2)]
    calls = [call for one, two in pairs for call in (people.befriend(one, two), people.block(two, one))]
    await at_once([*calls, *(people.block(two, one) for one, two in pairs)])
    for one, two in pairs:
        assert world.rows(f"SELECT state FROM friendships WHERE uid = {two}") == []
        assert world.rows(f"SELECT state FROM friendships WHERE uid = {one}") in ([], [("outgoing",)])
    assert world.rows("SELECT count(*) FROM blocks") == [(4,)]


async def test_a_discovery_budget_is_spent_once_however_many_ask_at_once(world: World) -> None:
    uid = (await world.register()).uid
    discovery = Discovery(db=world.db, keys=world.keys, per_day=5, enabled=True, clock=world.clock)
    hashes = [secrets.token_hex(32) for _ in range(8)]
    answers = await at_once(discovery.discover(uid, {"phone_hashes": [each]}) for each in hashes)
    assert (len(of(list, answers)), len(of(DiscoveryBudget, answers))) == (5, 3)
    await at_once(discovery.charge_unavailable(UserId(uid + 1), "receiver_uid 9") for _ in range(6))
    assert sorted(world.rows("SELECT spent FROM budgets")) == [(1,), (1,), (5,)]


async def test_a_person_has_one_name_at_a_chat_service(world: World) -> None:
    uid = (await world.register()).uid
    chat = Chat(db=world.db, services={}, clock=world.clock)
    names = await at_once(chat.username(uid, "agora") for _ in range(6))
    assert len(set(names)) == 1


async def test_a_lasting_session_that_is_ended_while_it_is_used_has_ended(world: World) -> None:
    _, caller = await signed_up(world)
    ids = [secrets.token_hex(16) for _ in range(3)]
    sessions = [f"{each[:8]}-{each[8:12]}-4{each[13:16]}-8{each[17:20]}-{each[20:]}" for each in ids]
    for session in sessions:
        await world.passwords.log_in({"login": "anna", "password": OLD}, ADDRESS, partial(str, session))
    world.clock.now += DAY_MS
    lasting = LastingSessions(db=world.db, clock=world.clock)
    change = world.passwords.change(caller, {"current_password": OLD, "password": NEW}, ADDRESS)
    await at_once([*(lasting.caller(session) for session in sessions), change])
    assert unused(world) == [(caller.family,)]


async def test_numbers_that_change_hands_while_peppers_rotate_are_found_by_their_own(
    world: World, tmp_path: Path
) -> None:
    accounts = await newcomers(world, 12)
    world.clock.now += 91 * DAY_MS
    path = tmp_path / "keys.json"
    replace_key_ring(path, rotation.begun(world.keys, [Kind.PEPPER, Kind.PHONES]))
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
