# SPDX-License-Identifier: Apache-2.0
"""Many at once over one database: sessions, passwords and codes stay what they would be one after the other.

SQLite runs units one after the other by itself; on MariaDB they interleave, and each lock but that of reports
was taken away once, and each compare-and-set on tokens, tries, codes, budgets and sealed numbers: a test here failed.
"""

import secrets
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from models.clock import DAY_MS
from models.db.tables import credentials, expired_rows, refresh_tokens
from models.errors import (
    ActivationGone,
    CodeIncorrect,
    SmsLimited,
    Taken,
    TokenReused,
    Unauthenticated,
)
from models.user import UserId
from services.accounts.account_issuing import Issued, Started
from services.accounts.session_ids import SessionIds
from services.accounts.sessions import TokenPair
from services.authentication import Caller
from tests.services.accounts.world import OTHER, PHONE, World
from tests.services.interleaving import (
    at_once,
    begin,
    caller_of,
    cutting_in,
    later,
    newcomers,
    of,
    open_interleaving,
    unused,
)
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio

ADDRESS = "192.0.2.1"
OLD, NEW = "the old password", "the new password"


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with open_interleaving(engine) as opened:
        yield opened


@pytest.fixture
async def counted(engine: Engine) -> AsyncIterator[World]:
    """Where every number is proved, and codes are counted."""
    async with open_interleaving(engine, required=True, limited=True) as opened:
        yield opened


async def signed_up(world: World, login: str = "anna") -> tuple[UserId, Caller]:
    uid, pair = await world.passwords.sign_up({"login": login, "password": OLD}, ADDRESS)
    return uid, await world.authentication.bearer(pair.access_token)


async def test_a_refresh_token_shown_by_many_at_once_has_one_successor(world: World) -> None:
    sessions = [await world.tokens.open(caller_of(each)) for each in await newcomers(world, 3)]
    pairs = of(TokenPair, await at_once(world.tokens.refresh(each.refresh_token) for each in sessions * 4))
    assert len(pairs) == 12
    assert len(unused(world)) == 3
    assert len(of(TokenPair, await at_once(world.tokens.refresh(each.refresh_token) for each in pairs))) == 3


async def test_a_successor_is_taken_back_for_one_other_alone(world: World) -> None:
    pair = await world.tokens.open(caller_of(await world.register()))
    await world.tokens.refresh(pair.refresh_token)
    async with cutting_in(world, refresh_tokens._DELETE, lambda: world.tokens.refresh(pair.refresh_token)) as late:
        await world.tokens.refresh(pair.refresh_token)
    assert (len(of(TokenPair, late)), len(unused(world))) == (1, 1)


async def test_a_refresh_token_shown_by_many_too_late_ends_its_family_for_good(world: World) -> None:
    pair = await world.tokens.open(caller_of(await world.register()))
    newer = await world.tokens.refresh(pair.refresh_token)
    world.clock.passes(61)
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
    signups = [world.passwords.sign_up({"login": "anna", "password": OLD}, ADDRESS) for _ in range(6)]
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
    world.clock.passes(60)
    answers = await at_once(world.activation.resend(started.activation_id) for _ in range(5))
    assert len(of(Started, answers)) == 1
    assert world.rows("SELECT sends FROM activations") == [(2,)]


async def test_a_number_proved_by_many_at_once_is_one_account(world: World) -> None:
    world.accounts = replace(world.accounts, activation_required=True)
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


async def test_a_key_that_comes_into_use_again_while_it_is_purged_is_known(world: World) -> None:
    key = "k" * 22
    await world.accounts.register(PHONE, key)
    world.clock.passes(3600)
    purge = partial(expired_rows.erase, table="idempotency", before=world.clock(), limit=1)
    async with cutting_in(
        world, expired_rows._DELETE["idempotency"], lambda: world.accounts.register(OTHER, key)
    ) as late:
        await world.db.write(purge)
    assert of(Issued, late)
    assert world.rows("SELECT count(*) FROM idempotency") == [(1,)]


async def test_a_lasting_session_that_is_ended_while_it_is_used_has_ended(world: World) -> None:
    _, caller = await signed_up(world)
    ids = [secrets.token_hex(16) for _ in range(3)]
    sessions = [f"{each[:8]}-{each[8:12]}-4{each[13:16]}-8{each[17:20]}-{each[20:]}" for each in ids]
    for session in sessions:
        await world.passwords.log_in({"login": "anna", "password": OLD}, ADDRESS, partial(str, session))
    world.clock.now += DAY_MS
    lasting = SessionIds(db=world.db, clock=world.clock)
    change = world.passwords.change(caller, {"current_password": OLD, "password": NEW}, ADDRESS)
    await at_once([*(lasting.caller(session) for session in sessions), change])
    assert unused(world) == [(caller.family,)]
