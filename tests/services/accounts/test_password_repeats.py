# SPDX-License-Identifier: Apache-2.0
"""Passwords twice at once, and again after a lost reply."""

import asyncio
from unicodedata import normalize

import pytest
from argon2 import PasswordHasher

from models.errors import AppError, Conflict, Forbidden
from tests.services.accounts.test_passwords import ANN, HOME, RIGHT, code_of
from tests.services.accounts.world import World

pytestmark = pytest.mark.anyio


async def test_logins_at_once_are_all_let_in_while_one_makes_the_old_hash_anew(world: World) -> None:
    await world.passwords.sign_up(ANN, HOME)
    world.hashing._hasher = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    assert await asyncio.gather(*(code_of(world, ANN) for _ in range(5))) == ["let in"] * 5


async def test_a_password_that_is_changed_while_it_is_checked_lets_nobody_in(world: World) -> None:
    _, pair = await world.passwords.sign_up(ANN, HOME)
    caller = await world.authentication.bearer(pair.access_token)
    change = world.passwords.change(caller, {"password": "battery staple", "current_password": RIGHT}, HOME)
    _, *answers = await asyncio.gather(change, *(code_of(world, ANN) for _ in range(5)))
    assert set(answers) <= {"let in", "unauthenticated"}
    assert world.rows("select count(distinct family) from refresh_tokens") == [(1,)]
    assert await code_of(world, ANN) == "unauthenticated"


async def test_a_change_whose_reply_was_lost_is_asked_for_again(world: World) -> None:
    _, pair = await world.passwords.sign_up(ANN, HOME)
    caller = await world.authentication.bearer(pair.access_token)
    change = {"password": "u\u0308ber-lang", "current_password": RIGHT}
    for spelling in ("NFC", "NFD"):
        await world.passwords.change(caller, change | {"password": normalize(spelling, change["password"])}, HOME)
    with pytest.raises(Forbidden):
        await world.passwords.change(caller, change | {"password": "another one"}, HOME)
    assert await code_of(world, ANN) == "unauthenticated"
    assert await code_of(world, ANN | {"password": "\u00fcber-lang"}) == "let in"


async def test_of_changes_at_once_one_wins_and_guesses_at_the_old_one_are_bounded(world: World) -> None:
    _, pair = await world.passwords.sign_up(ANN, HOME)
    caller = await world.authentication.bearer(pair.access_token)

    async def change(number: int) -> str:
        fields = {"password": f"battery {number}", "current_password": RIGHT}
        try:
            await world.passwords.change(caller, fields, HOME)
        except (Conflict, Forbidden) as error:
            return error.code
        return "changed"

    answers = await asyncio.gather(*map(change, range(5)))
    # Who reads the row before the winner's commit meets a conflict, and who reads it after that a wrong password.
    assert answers.count("changed") == 1
    assert set(answers) <= {"changed", "conflict", "forbidden"}
    codes = []
    world.hasher.computations = 0
    for number in range(152):
        try:
            guess = {"password": "battery staple", "current_password": f"guess {number}"}
            await world.passwords.change(caller, guess, HOME)
        except AppError as error:
            codes.append(error.code)
    # The new password is looked at too, as a repeat's: that is a guess like the other; so it was of who came too late.
    left = 150 - answers.count("forbidden")
    assert (codes.count("forbidden"), codes.count("rate_limited")) == (left, 152 - left)
    assert world.hasher.computations == 2 * left
