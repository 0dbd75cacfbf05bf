# SPDX-License-Identifier: Apache-2.0
"""Proving a number by a code, and getting an account back."""

import asyncio
from collections import Counter

import pytest

from models.clock import DAY_MS
from models.errors import (
    ActivationGone,
    AppError,
    CodeIncorrect,
    IdempotencyConflict,
    InvalidField,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from services.accounts.account_issuing import Started
from tests.services.accounts.world import PHONE, TEST_NUMBER, World, open_world
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio

KEY = "k" * 22


def _wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 10**6:06d}"


async def _outcome(world: World, activation_id: str, code: str) -> str:
    try:
        await world.activation.confirm(activation_id, {"code": code}, None)
    except AppError as error:
        return error.code
    return "issued"


async def test_the_code_makes_the_account(strict: World) -> None:
    started, code = await strict.start(cid="token-1", terms_version="7")
    assert strict.rows("select count(*) from users") == [(0,)]

    issued = await strict.activation.confirm(started.activation_id, {"code": code}, None)

    assert not issued.retrieved
    assert (await strict.login(issued)).uid == issued.uid
    me = await strict.accounts.me(issued.uid)
    assert (me["nickname"], me["region_num"]) == ("Ann", "86")
    assert strict.rows("select token from devices") == [("token-1",)]
    assert strict.rows("select terms_version from users") == [("7",)]
    assert strict.woken == []


async def test_a_code_works_once(strict: World) -> None:
    started, code = await strict.start()

    outcomes = await asyncio.gather(*(_outcome(strict, started.activation_id, code) for _ in range(10)))

    assert Counter(outcomes) == {"issued": 1, "activation_gone": 9}
    assert strict.rows("select count(*) from users") == [(1,)]


async def test_five_wrong_codes_end_it(strict: World) -> None:
    started, code = await strict.start()
    left = []
    for by in range(1, 6):
        with pytest.raises(CodeIncorrect) as refused:
            await strict.activation.confirm(started.activation_id, {"code": _wrong(code, by)}, None)
        left.append(refused.value.extra["attempts_left"])

    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(ActivationGone):
        await strict.activation.confirm(started.activation_id, {"code": code}, None)
    with pytest.raises(ActivationGone):
        await strict.activation.resend(started.activation_id)


async def test_of_a_hundred_guesses_at_once_five_are_looked_at(strict: World) -> None:
    started, code = await strict.start()

    guesses = (_outcome(strict, started.activation_id, _wrong(code, by)) for by in range(1, 101))
    outcomes = Counter(await asyncio.gather(*guesses))

    assert outcomes == {"code_incorrect": 5, "activation_gone": 95}
    assert await _outcome(strict, started.activation_id, code) == "activation_gone"


@pytest.mark.parametrize(
    "code", [None, "", "12 456", "１２３４５６", "١٢٣٤٥٦", "12345a", "+12345", "1" * 11, 123456, [], "1\n2"]
)
async def test_what_is_no_code_costs_no_try(strict: World, code: object) -> None:
    started, right = await strict.start()

    with pytest.raises(InvalidField):
        await strict.activation.confirm(started.activation_id, {"code": code}, None)
    assert strict.rows("select attempts_left from activations") == [(5,)]
    assert await _outcome(strict, started.activation_id, right) == "issued"


@pytest.mark.parametrize("activation_id", ["", "x", "0" * 32, "0" * 33, "\0" * 32, "' OR 1=1--", "\ud800"])
async def test_an_unknown_activation_is_gone(strict: World, activation_id: str) -> None:
    with pytest.raises(ActivationGone):
        await strict.activation.confirm(activation_id, {"code": "123456"}, None)
    with pytest.raises(ActivationGone):
        await strict.activation.resend(activation_id)


async def test_ten_minutes_end_it(strict: World) -> None:
    started, code = await strict.start()
    strict.clock.passes(600)

    assert await _outcome(strict, started.activation_id, code) == "activation_gone"
    with pytest.raises(ActivationGone):
        await strict.activation.resend(started.activation_id)


async def test_a_code_of_another_activation_is_wrong(strict: World) -> None:
    first, _ = await strict.start()
    _, code = await strict.start()

    outcome = await _outcome(strict, first.activation_id, code)
    assert outcome == "code_incorrect" or strict.sms.sent[0].code == code


async def test_resending_keeps_the_tries_and_changes_the_code(strict: World) -> None:
    started, first = await strict.start()
    await _outcome(strict, started.activation_id, _wrong(first))
    strict.clock.passes(60)

    again = await strict.activation.resend(started.activation_id)
    second = await strict.code()

    assert again == Started(started.activation_id, started.expires_at, strict.clock.now + 120_000)
    assert strict.rows("select attempts_left from activations") == [(4,)]
    if first != second:
        assert await _outcome(strict, started.activation_id, first) == "code_incorrect"
    assert await _outcome(strict, started.activation_id, second) == "issued"


async def test_codes_are_resent_after_one_two_and_five_minutes_and_no_more(strict: World) -> None:
    started, _ = await strict.start()
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as early:
            await strict.activation.resend(started.activation_id)
        assert early.value.retry_after is not None
        waits.append(early.value.retry_after)
        strict.clock.passes(early.value.retry_after)
        await strict.activation.resend(started.activation_id)
    with pytest.raises(RateLimited) as last:
        await strict.activation.resend(started.activation_id)

    assert waits == [60, 120, 300]
    assert last.value.retry_after == 600 - 480
    await strict.code()
    assert len(strict.sms.sent) == 4


async def test_many_resends_at_once_send_one_code(strict: World) -> None:
    started, _ = await strict.start()
    strict.clock.passes(60)

    answers = await asyncio.gather(
        *(strict.activation.resend(started.activation_id) for _ in range(10)), return_exceptions=True
    )
    await strict.code()

    assert sum(isinstance(answer, Started) for answer in answers) == 1
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 9
    assert len(strict.sms.sent) == 2


async def test_resent_codes_count_for_the_day(strict: World) -> None:
    started, _ = await strict.start()
    for seconds in (60, 120, 300):
        strict.clock.passes(seconds)
        await strict.activation.resend(started.activation_id)
    strict.clock.passes(600)
    again, _ = await strict.start()
    strict.clock.passes(60)

    with pytest.raises(RateLimited) as refused:
        await strict.activation.resend(again.activation_id)
    midnight = -strict.clock.now % DAY_MS // 1000
    assert (refused.value.code, refused.value.retry_after) == ("sms_limited", midnight)


async def test_a_full_queue_refuses_before_there_is_an_activation(strict: World) -> None:
    places = [strict.queue.reserve() for _ in range(64)]

    with pytest.raises(Unavailable):
        await strict.accounts.register(PHONE, None)
    assert strict.rows("select count(*) from activations") == [(0,)]
    for place in places:
        with place:
            pass
    await strict.start()


async def test_a_refused_activation_gives_its_place_back(strict: World) -> None:
    for _ in range(3):
        await strict.start()
    for _ in range(100):
        with pytest.raises(RateLimited):
            await strict.accounts.register(PHONE, None)
    await strict.start(phone_num="13900139000")


async def test_a_test_number_has_its_code_no_sms_and_no_budget(strict: World) -> None:
    for _ in range(10):
        started = await strict.accounts.register(TEST_NUMBER, None)
        assert isinstance(started, Started)
        issued = await strict.activation.confirm(started.activation_id, {"code": "424242"}, None)
    strict.clock.passes(1)
    started = await strict.accounts.register(TEST_NUMBER, None)
    assert isinstance(started, Started)
    strict.clock.passes(60)
    await strict.activation.resend(started.activation_id)

    assert issued.retrieved
    assert strict.sms.sent == []
    assert await _outcome(strict, started.activation_id, "424242") == "issued"


async def test_no_number_has_the_test_code_by_default(strict: World) -> None:
    started, code = await strict.start()

    assert await _outcome(strict, started.activation_id, "424242") == "code_incorrect" or code == "424242"


async def test_switched_off_limits_leave_no_budget(engine: Engine) -> None:
    async with open_world(engine, required=True, limited=False) as world:
        for _ in range(10):
            await world.start()
        assert len(world.sms.sent) == 10


async def test_two_activations_of_one_new_number_make_one_account(strict: World) -> None:
    first, first_code = await strict.start()
    second, second_code = await strict.start()

    one, two = await asyncio.gather(
        strict.activation.confirm(first.activation_id, {"code": first_code}, None),
        strict.activation.confirm(second.activation_id, {"code": second_code}, None),
    )

    assert one.uid == two.uid
    assert sorted([one.retrieved, two.retrieved]) == [False, True]
    assert strict.rows("select count(*) from credentials") == [(1,)]


async def test_a_repeated_confirmation_gets_a_fresh_ukey(strict: World) -> None:
    started, code = await strict.start()
    first = await strict.activation.confirm(started.activation_id, {"code": code}, KEY)
    again = await strict.activation.confirm(started.activation_id, {"code": code}, KEY)

    assert (again.uid, again.retrieved) == (first.uid, first.retrieved)
    with pytest.raises(Unauthenticated):
        await strict.login(first)
    assert (await strict.login(again)).uid == first.uid
    with pytest.raises(IdempotencyConflict):
        await strict.activation.confirm(started.activation_id, {"code": _wrong(code)}, KEY)
    with pytest.raises(ActivationGone):
        await strict.activation.confirm(started.activation_id, {"code": code}, "j" * 22)
    strict.clock.passes(600)
    with pytest.raises(ActivationGone):
        await strict.activation.confirm(started.activation_id, {"code": code}, KEY)


async def test_a_wrong_code_is_counted_with_a_key_too(strict: World) -> None:
    started, code = await strict.start()
    with pytest.raises(CodeIncorrect):
        await strict.activation.confirm(started.activation_id, {"code": _wrong(code)}, KEY)

    assert strict.rows("select attempts_left from activations") == [(4,)]
    assert not (await strict.activation.confirm(started.activation_id, {"code": code}, KEY)).retrieved
