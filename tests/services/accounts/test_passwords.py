# SPDX-License-Identifier: Apache-2.0
"""Accounts with a password: who is let in, what a refusal costs, and that guesses are counted before they are made."""

import asyncio
import threading
from dataclasses import replace
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher

from models.errors import AppError, Forbidden, InvalidField, Taken, Unauthenticated, Unavailable
from services.accounts.password_hashing import RETRY_SECONDS, Hashing
from tests.services.accounts.world import OTHER, CountingHasher, World
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio

HOME, AWAY = "192.0.2.1", "198.51.100.66"
RIGHT = "correct horse"
ANN = {"email": "ann@example.org", "password": RIGHT}
LOGINS = "select count(*) from refresh_tokens"


async def code_of(world: World, fields: dict[str, Any], address: str = HOME) -> str:
    try:
        await world.passwords.log_in(fields, address)
    except AppError as error:
        return error.code
    return "let in"


async def test_who_signs_up_has_an_account_a_device_and_a_session(world: World) -> None:
    fields = {**ANN, "email": " Ann@Example.ORG", "device_token": "t0", "device_type": "IOS"}
    uid, pair = await world.passwords.sign_up(fields, HOME)

    caller = await world.authentication.bearer(pair.access_token)
    assert (caller.uid, caller.phone_hash) == (uid, None)
    me = await world.accounts.me(uid)
    assert (me["email"], me["login"], me["nickname"], me["phone_hash"]) == ("ann@example.org", None, "Ann", None)
    assert world.rows("select uid, provider, app, token, device_type from devices") == [(uid, "log", "", "t0", "IOS")]
    [(kept,)] = world.rows("select password_hash from users")
    assert kept.startswith("$argon2id$")
    assert RIGHT not in kept
    assert await code_of(world, {"email": "ANN@example.org", "password": RIGHT}) == "let in"


async def test_a_name_belongs_to_one_even_when_two_ask_at_once(world: World) -> None:
    async def sign_up(**fields: str) -> str:
        try:
            await world.passwords.sign_up({"password": RIGHT, **fields}, HOME)
        except Taken as error:
            return error.code
        return "made"

    answers = await asyncio.gather(*(sign_up(login=name) for name in ("Ann", "ann", "ANN") * 3))
    assert sorted(answers) == ["made"] + ["taken"] * 8
    assert await sign_up(email="ann@example.org") == "made"
    assert await sign_up(email="Ann@example.org") == "taken"
    assert world.rows("select count(*) from users") == [(2,)]
    assert world.rows(LOGINS) == [(2,)]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"email", "password"}),
        ({**ANN, "login": "ann"}, {"email"}),
        ({**ANN, "email": "ann"}, {"email"}),
        ({**ANN, "email": ["ann@example.org"]}, {"email"}),
        ({"login": "a@b", "password": RIGHT}, {"login"}),
        ({"login": 12345, "password": RIGHT}, {"login"}),
        ({**ANN, "password": "1234567"}, {"password"}),
        ({**ANN, "password": "é" * 513}, {"password"}),
        ({**ANN, "password": "x" * 1_000_000}, {"password"}),
        *(({**ANN, "password": value}, {"password"}) for value in (None, 12345678, ["12345678"], {"a": 1}, True, "")),
        ({**ANN, "nickname": "a\0b"}, {"nickname"}),
        ({**ANN, "nickname": ["Ann"]}, {"nickname"}),
        ({**ANN, "device_token": "x" * 5000, "device_type": "TV"}, {"device_token", "device_type"}),
    ],
)
async def test_what_is_wrong_is_named_and_leaves_nothing(world: World, fields: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(InvalidField) as refused:
        await world.passwords.sign_up(fields, HOME)
    assert {name for name, _ in refused.value.fields} == wrong
    assert world.rows("select count(*) from users") == [(0,)]
    assert world.hasher.computations == 0


@pytest.mark.parametrize("password", ["1234567\0", "\0" * 8, "pässwörd", "🐴🐴", "x" * 1024, " leading and trailing "])
async def test_a_password_is_taken_as_it_is(world: World, password: str) -> None:
    await world.passwords.sign_up({"login": "ann", "password": password}, HOME)
    assert await code_of(world, {"login": "ann", "password": password}) == "let in"
    for other in (password[:-1], password + " ", password.upper() + "x", password.strip() + "\0"):
        if other != password and len(other.encode()) <= 1024:
            assert await code_of(world, {"login": "ann", "password": other}) == "unauthenticated"


async def test_two_spellings_of_one_letter_are_one_password(world: World) -> None:
    await world.passwords.sign_up({"login": "ann", "password": "u\u0308ber-lang"}, HOME)
    assert await code_of(world, {"login": "ann", "password": "\u00fcber-lang"}) == "let in"


async def test_front_doors_may_ask_for_less_and_whoever_came_in_there_can_log_in(world: World) -> None:
    with pytest.raises(InvalidField):
        await world.passwords.sign_up({"login": "ann", "password": "12"}, HOME, min_password_bytes=3)
    await world.passwords.sign_up({"login": "ann", "password": "123"}, HOME, min_password_bytes=3)
    assert await code_of(world, {"login": "ann", "password": "123"}) == "let in"


async def test_every_refusal_looks_and_costs_the_same(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    uid, _ = await world.passwords.sign_up({"login": "gone", "password": RIGHT}, HOME)
    await world.disable(uid)
    await world.register(OTHER)
    wrong = (
        {**ANN, "password": "wrong horse"},
        {**ANN, "password": "x"},
        {"email": "unknown@example.org", "password": RIGHT},
        {"email": "no address", "password": RIGHT},
        {"login": "' OR 1=1--", "password": RIGHT},
        {"login": "", "password": RIGHT},
        {"login": "x" * 100_000, "password": RIGHT},
        {"login": "gone", "password": RIGHT},
        {"login": "gone", "password": "wrong horse"},
    )
    seen = set()
    for fields in wrong:
        before = world.hasher.computations
        with pytest.raises(Unauthenticated) as refused:
            await world.passwords.log_in(fields, HOME)
        error = refused.value
        seen.add((type(error), error.detail, error.retry_after, error.fields, world.hasher.computations - before))
    assert len(seen) == 1
    assert world.rows(LOGINS) == [(2,)]


@pytest.mark.parametrize("password", [None, 1, ["correct horse"], {"$ne": ""}, True, "", "x" * 1025])
async def test_what_cannot_be_a_password_is_said_so_and_costs_nothing(world: World, password: object) -> None:
    for fields in (ANN, {"email": "unknown@example.org"}):
        with pytest.raises(InvalidField):
            await world.passwords.log_in({**fields, "password": password}, HOME)
    assert world.hasher.computations == 0


async def test_guesses_are_bounded_and_the_owner_elsewhere_is_let_in(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    guesses = (code_of(world, {**ANN, "password": f"guess {number}"}, AWAY) for number in range(1000))
    answers = []
    for _ in range(0, 1000, 10):
        answers += await asyncio.gather(*(next(guesses) for _ in range(10)))
    assert (answers.count("unauthenticated"), answers.count("rate_limited")) == (300, 700)
    assert world.hasher.computations == 301
    assert await code_of(world, ANN, AWAY) == "rate_limited"
    assert await code_of(world, ANN, HOME) == "let in"


async def test_guesses_side_by_side_are_counted_before_they_are_made(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    for number in range(295):
        await code_of(world, {**ANN, "password": f"guess {number}"}, AWAY)
    answers = await asyncio.gather(*(code_of(world, {**ANN, "password": "wrong horse"}, AWAY) for _ in range(16)))
    assert (answers.count("unauthenticated"), answers.count("rate_limited")) == (5, 11)


async def test_who_is_right_is_never_counted(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    for _ in range(301):
        assert await code_of(world, ANN) == "let in"


class HeldHasher(CountingHasher):
    """Looks at no password until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        self.go.wait(PATIENCE)
        return super().verify(hash, password)


async def test_a_full_queue_is_said_so_and_is_nobodys_failure(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    held = HeldHasher()
    slow = Hashing(hasher=held, max_pending=4)
    world.passwords = replace(world.passwords, hashing=slow)
    for _ in range(2):
        answers = []
        for answer in asyncio.as_completed([code_of(world, ANN) for _ in range(200)]):
            answers.append(await answer)
            if len(answers) == 198:
                elsewhere = [asyncio.create_task(code_of(world, ANN, AWAY)) for _ in range(2)]
                await asyncio.wait(elsewhere, return_when=asyncio.FIRST_COMPLETED)  # one finds no place
                held.go.set()
        assert answers == ["unavailable"] * 198 + ["let in"] * 2, "half of the places are one network's at most"
        assert sorted([await one for one in elsewhere]) == ["let in", "unavailable"], "and a quarter another's"
        held.go.clear()
    held.go.set()
    addresses = [HOME, HOME, AWAY, "203.0.113.1", "203.0.113.9"]
    hashes = await asyncio.gather(*(slow.hash(b"x", each) for each in addresses), return_exceptions=True)
    assert [error.retry_after for error in hashes if isinstance(error, Unavailable)] == [RETRY_SECONDS]
    assert [await code_of(world, ANN) for _ in range(3)] == ["let in"] * 3
    slow.close()


async def test_an_old_hash_is_made_anew_at_the_next_login(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    [(before,)] = world.rows("select password_hash from users")
    world.hashing._hasher = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    assert await code_of(world, {**ANN, "password": "wrong horse"}) == "unauthenticated"
    assert world.rows("select password_hash from users") == [(before,)]
    assert await code_of(world, ANN) == "let in"
    [(after,)] = world.rows("select password_hash from users")
    assert "m=16,t=2" in after
    assert await code_of(world, ANN) == "let in"
    assert world.rows("select password_hash from users") == [(after,)]


async def test_a_new_password_needs_the_old_one_and_ends_other_sessions(world: World) -> None:
    _, pair = await world.passwords.sign_up(ANN, HOME)
    _, other = await world.passwords.log_in(ANN, HOME)
    caller = await world.authentication.bearer(pair.access_token)
    for wrong in ({}, {"current_password": ["x"]}, {"current_password": RIGHT, "password": "short"}):
        with pytest.raises(InvalidField):
            await world.passwords.change(caller, {"password": "battery staple", **wrong}, HOME)
    with pytest.raises(Forbidden):
        await world.passwords.change(caller, {"password": "battery staple", "current_password": "wrong horse"}, HOME)
    await world.authentication.bearer(other.access_token)

    await world.passwords.change(caller, {"password": "battery staple", "current_password": RIGHT}, HOME)

    await world.authentication.bearer(pair.access_token)
    with pytest.raises(Unauthenticated):
        await world.authentication.bearer(other.access_token)
    assert await code_of(world, ANN) == "unauthenticated"
    assert await code_of(world, {**ANN, "password": "battery staple"}) == "let in"


async def test_a_phone_account_gets_a_name_and_then_has_both(world: World) -> None:
    issued = await world.register()
    caller = await world.login(issued)
    await world.passwords.sign_up({"login": "taken", "password": RIGHT}, HOME)
    with pytest.raises(Taken):
        await world.passwords.add_name(caller, {"login": "Taken", "password": RIGHT}, HOME)
    with pytest.raises(InvalidField):
        await world.passwords.add_name(caller, {"login": "ann", "password": "short"}, HOME)
    assert world.rows("select password_hash from users where phone_cipher is not null") == [(None,)]

    await world.passwords.add_name(caller, {"login": "ann", "password": RIGHT}, HOME)
    with pytest.raises(Forbidden):
        await world.passwords.add_name(caller, {"email": ANN["email"], "password": "wrong horse"}, HOME)
    await world.passwords.add_name(caller, ANN, HOME)
    await world.passwords.add_name(caller, ANN, HOME)

    me = await world.accounts.me(issued.uid)
    assert (me["login"], me["email"], me["phone_hash"]) == ("ann", "ann@example.org", issued.phone_hash)
    for fields in (ANN, {"login": "ann", "password": RIGHT}):
        uid, pair = await world.passwords.log_in(fields, HOME)
        assert uid == issued.uid
        assert (await world.authentication.bearer(pair.access_token)).phone_hash == issued.phone_hash
    assert (await world.login(issued)).uid == issued.uid


async def test_whoever_was_shut_out_while_their_password_was_computed_changes_nothing(world: World) -> None:
    issued = await world.register()
    caller = await world.login(issued)
    await world.passwords.add_name(caller, ANN, HOME)
    [(before,)] = world.rows("select password_hash from users")
    await world.disable(issued.uid)
    with pytest.raises(Unauthenticated):
        await world.passwords.change(caller, {"password": "battery staple", "current_password": RIGHT}, HOME)
    with pytest.raises(Unauthenticated):
        await world.passwords.add_name(caller, {"login": "ann", "password": RIGHT}, HOME)
    assert world.rows("select password_hash, login from users") == [(before, None)]
