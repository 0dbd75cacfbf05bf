# SPDX-License-Identifier: Apache-2.0
"""Registering, and what an account says of its person."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from models.clock import DAY_MS
from models.errors import IdempotencyConflict, InvalidField, InvalidPhone, NotFound, RateLimited, Unauthenticated
from models.phone import phone_hash
from services.accounts.account_issuing import Issued, Started
from tests.services.accounts.world import E164, OTHER, PHONE, World

pytestmark = pytest.mark.anyio

KEY = "k" * 22


def _shape(answer: Started) -> tuple[int, int, int]:
    return len(answer.activation_id), answer.expires_at, answer.resend_at


async def test_a_new_phone_is_an_account_at_once(world: World) -> None:
    issued = await world.register(terms_version="2026-01")

    assert issued.phone_hash == phone_hash(E164)
    assert not issued.retrieved
    assert await world.accounts.me(issued.uid) == {
        "uid": issued.uid,
        "nickname": "Ann",
        "region_num": "86",
        "phone_hash": phone_hash(E164),
        "email": None,
        "login": None,
        "discoverable": True,
        "read_receipts": True,
        "reg_time": world.clock.now,
    }
    assert world.sms.sent == []


async def test_a_number_in_e164_needs_no_region(world: World) -> None:
    issued = await world.register(region_num=None, phone_num=E164)

    assert issued.phone_hash == phone_hash(E164)
    assert (await world.accounts.me(issued.uid))["region_num"] == "86"


async def test_a_known_phone_needs_proof_and_nothing_changes(world: World) -> None:
    issued = await world.register()

    started, code = await world.start(nickname="Mallory", phone_num="+86 138-0013-8000")

    assert started.expires_at == world.clock.now + 600_000
    assert started.resend_at == world.clock.now + 60_000
    assert world.sms.sent[0].to == E164
    assert code in world.sms.sent[0].text
    assert (await world.login(issued)).uid == issued.uid
    assert (await world.accounts.me(issued.uid))["nickname"] == "Ann"


async def test_with_activation_on_known_and_new_look_the_same(strict: World) -> None:
    first, code = await strict.start()
    await strict.activation.confirm(first.activation_id, {"code": code}, None)

    known, _ = await strict.start()
    new, _ = await strict.start(OTHER)

    assert _shape(known) == _shape(new)


async def test_two_registrations_of_one_new_phone_at_once_make_one_account(world: World) -> None:
    answers = await asyncio.gather(*(world.accounts.register(PHONE, None) for _ in range(2)))

    assert Counter(type(answer) for answer in answers) == {Issued: 1, Started: 1}
    assert world.rows("select count(*) from users") == [(1,)]


async def test_the_cid_becomes_the_persons_device(world: World) -> None:
    issued = await world.register(cid="token-1", push_provider="getui", device_type="ANDROID")

    found = world.rows("select uid, provider, app, token, device_type from devices")
    assert found == [(issued.uid, "getui", "", "token-1", "ANDROID")]


async def test_the_default_provider_is_the_configured_one(world: World) -> None:
    await world.register(cid="token-1", push_provider="")

    assert world.rows("select provider, device_type from devices") == [("log", "")]


async def test_a_cid_of_another_person_moves(world: World) -> None:
    await world.register(cid="token-1")
    bob = await world.register(OTHER, cid="token-1")

    assert world.rows("select uid from devices where ended_at is null") == [(bob.uid,)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nickname", None),
        ("nickname", ""),
        ("nickname", "   "),
        ("nickname", "x" * 65),
        ("nickname", "a\x00b"),
        ("nickname", "a\nb"),
        ("nickname", "a\x85b"),
        ("nickname", "a\u2028b"),
        ("nickname", "\ud800"),
        ("nickname", 5),
        ("nickname", ["Ann"]),
        ("cid", "x" * 4097),
        ("cid", "a\x00"),
        ("cid", "\udfff"),
        ("cid", 5),
        ("cid", {"endpoint": "x"}),
        ("push_provider", "smoke"),
        ("push_provider", 1),
        ("push_provider", []),
        ("device_type", "android"),
        ("device_type", {}),
        ("terms_version", "x" * 65),
        ("terms_version", True),
    ],
)
async def test_a_wrong_field_is_named_and_nobody_is_made(world: World, field: str, value: object) -> None:
    with pytest.raises(InvalidField) as refused:
        await world.accounts.register(PHONE | {field: value}, None)

    assert [name for name, _ in refused.value.fields] == [field]
    assert world.rows("select count(*) from users") == [(0,)]


async def test_a_getui_token_is_short(world: World) -> None:
    await world.register(cid="c" * 64, push_provider="getui")
    with pytest.raises(InvalidField):
        await world.register(OTHER, cid="c" * 65, push_provider="getui")


async def test_every_wrong_field_is_named_at_once(world: World) -> None:
    wrong = {"region_num": "x", "nickname": "", "cid": 1, "push_provider": "x", "device_type": "x", "terms_version": 1}
    with pytest.raises(InvalidField) as refused:
        await world.accounts.register(wrong, None)

    names = {name for name, _ in refused.value.fields}
    assert names == set(wrong) | {"phone_num"}


async def test_a_wrong_number_is_an_invalid_phone_unless_more_is_wrong(world: World) -> None:
    with pytest.raises(InvalidPhone):
        await world.accounts.register(PHONE | {"phone_num": "1"}, None)
    with pytest.raises(InvalidField) as refused:
        await world.accounts.register(PHONE | {"phone_num": "1", "nickname": ""}, None)

    assert {name for name, _ in refused.value.fields} == {"phone_num", "nickname"}


@pytest.mark.parametrize(
    "nickname", ["安", "👩‍👩‍👧", " trimmed ", "x" * 64, "{0.__class__}", "'; DROP TABLE users; --"]
)
async def test_any_printable_nickname_is_kept_as_it_is(world: World, nickname: str) -> None:
    issued = await world.register(nickname=nickname)

    assert (await world.accounts.get_user(issued.uid)) == {"uid": issued.uid, "nickname": nickname.strip()}


async def test_a_repeat_gets_a_fresh_ukey_for_the_same_account(world: World) -> None:
    first = await world.accounts.register(PHONE, KEY)
    again = await world.accounts.register(PHONE | {"phone_num": "138 0013 8000"}, KEY)

    assert isinstance(first, Issued)
    assert isinstance(again, Issued)
    assert (again.uid, again.phone_hash, again.retrieved) == (first.uid, first.phone_hash, False)
    assert again.ukey != first.ukey
    with pytest.raises(Unauthenticated):
        await world.login(first)
    assert (await world.login(again)).uid == first.uid
    assert world.sms.sent == []


async def test_many_repeats_at_once_leave_one_account_and_one_ukey(world: World) -> None:
    answers = await asyncio.gather(*(world.accounts.register(PHONE, KEY) for _ in range(20)))

    assert len({answer.uid for answer in answers if isinstance(answer, Issued)}) == 1
    assert world.rows("select count(*) from users") == world.rows("select count(*) from credentials") == [(1,)]
    working = 0
    for answer in answers:
        assert isinstance(answer, Issued)
        try:
            await world.login(answer)
        except Unauthenticated:
            continue
        working += 1
    assert working == 1


@pytest.mark.parametrize("other", [OTHER, PHONE | {"nickname": "Anne"}, PHONE | {"cid": "token-2"}])
async def test_the_same_key_with_another_body_is_a_conflict(world: World, other: dict[str, Any]) -> None:
    await world.accounts.register(PHONE, KEY)

    with pytest.raises(IdempotencyConflict):
        await world.accounts.register(other, KEY)


async def test_a_repeat_after_ten_minutes_needs_proof(world: World) -> None:
    await world.accounts.register(PHONE, KEY)
    world.clock.passes(600)

    assert isinstance(await world.accounts.register(PHONE, KEY), Started)


async def test_a_repeat_cannot_take_back_what_was_retrieved_since(world: World) -> None:
    await world.accounts.register(PHONE, KEY)
    retrieved = await world.retrieve()

    assert isinstance(await world.accounts.register(PHONE, KEY), Started)
    assert (await world.login(retrieved)).uid == retrieved.uid


async def test_a_repeat_cannot_bring_back_a_ukey_that_was_renewed_since(world: World) -> None:
    first = await world.accounts.register(PHONE, KEY)
    assert isinstance(first, Issued)
    fresh = await world.accounts.renew_ukey(await world.login(first))

    assert isinstance(await world.accounts.register(PHONE, KEY), Started)
    assert (await world.login(first, fresh)).uid == first.uid


async def test_a_repeated_activation_is_the_same_without_a_second_code(strict: World) -> None:
    first = await strict.accounts.register(PHONE, KEY)
    again = await strict.accounts.register(PHONE, KEY)
    await strict.code()

    assert first == again
    assert len(strict.sms.sent) == 1
    with pytest.raises(IdempotencyConflict):
        await strict.accounts.register(OTHER, KEY)


async def test_a_profile_changes_what_is_named(world: World) -> None:
    issued = await world.register()

    assert (await world.accounts.patch_me(issued.uid, {"discoverable": False}))["discoverable"] is False
    me = await world.accounts.patch_me(issued.uid, {"nickname": " Anna "})

    assert (me["nickname"], me["discoverable"]) == ("Anna", False)
    assert await world.accounts.patch_me(issued.uid, {}) == me == await world.accounts.me(issued.uid)


@pytest.mark.parametrize(
    "fields",
    [
        {"uid": 9},
        {"nickname": ""},
        {"nickname": None},
        {"discoverable": 1},
        {"discoverable": "false"},
        {"secret" * 20: 1},
    ],
)
async def test_a_profile_takes_nothing_else(world: World, fields: dict[str, Any]) -> None:
    issued = await world.register()
    before = await world.accounts.me(issued.uid)

    with pytest.raises(InvalidField) as refused:
        await world.accounts.patch_me(issued.uid, fields)
    assert [name for name, _ in refused.value.fields] == [name[:64] for name in fields]
    assert await world.accounts.me(issued.uid) == before


async def test_an_unknown_field_with_half_a_character_can_be_named_in_a_reply(world: World) -> None:
    issued = await world.register()

    with pytest.raises(InvalidField) as refused:
        await world.accounts.patch_me(issued.uid, {"\ud800": 1})
    assert [name.encode() for name, _ in refused.value.fields] == [b"?"]


async def test_nobody_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.accounts.get_user(1)


async def test_codes_to_one_number_are_three_in_ten_minutes_and_five_a_day(strict: World) -> None:
    for _ in range(3):
        await strict.start()
    with pytest.raises(RateLimited) as soon:
        await strict.start()
    assert soon.value.retry_after == 600
    await strict.start(OTHER)

    strict.clock.passes(600)
    for _ in range(2):
        await strict.start()
    with pytest.raises(RateLimited) as later:
        await strict.start()
    midnight = -strict.clock.now % DAY_MS // 1000
    assert later.value.retry_after == midnight
    strict.clock.passes(midnight)
    await strict.start()
