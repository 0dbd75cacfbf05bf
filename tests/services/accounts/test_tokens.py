# SPDX-License-Identifier: Apache-2.0
"""Sessions: how they are opened, prolonged once per token, and ended at once."""

import asyncio

import pytest

from models.clock import DAY_MS, MINUTE_MS
from models.db.database import Transaction
from models.db.tables import credentials
from models.errors import AppError, Forbidden, TokenReused, Unauthenticated
from models.user import UserId
from services.accounts.account_issuing import Issued
from services.accounts.sessions import MAX_FAMILIES, TokenPair
from services.authentication import Caller
from services.operating import set_disabled
from tests.services.accounts.world import OTHER, PHONE, World

pytestmark = pytest.mark.anyio

COUNT = "select count(*), count(distinct family), sum(used_at is null) from refresh_tokens"


async def opened(world: World) -> tuple[Issued, TokenPair]:
    issued = await world.register()
    return issued, await world.tokens.open(await world.login(issued))


async def is_let_in(world: World, pair: TokenPair) -> bool:
    try:
        await world.authentication.bearer(pair.access_token)
    except Unauthenticated:
        return False
    return True


async def outcome(world: World, refresh_token: str) -> str | TokenPair:
    try:
        return await world.tokens.refresh(refresh_token)
    except AppError as error:
        return error.code


async def test_an_access_token_lets_in_by_one_read_until_it_ends(world: World) -> None:
    issued, pair = await opened(world)
    world.db.reads = 0

    caller = await world.authentication.bearer(pair.access_token)

    assert world.db.reads == 1
    assert (caller.uid, caller.phone_hash) == (issued.uid, issued.phone_hash)
    assert (caller.credential_id, caller.expires_at) == (None, pair.expires_at)
    assert caller.family
    for secret in (caller.family, issued.phone_hash, pair.access_token, pair.refresh_token):
        assert secret not in repr((caller, pair))
    world.clock.now = pair.expires_at
    assert not await is_let_in(world, pair)
    await world.authentication.confirm(caller)


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(world: World) -> None:
    _, pair = await opened(world)
    with pytest.raises(Unauthenticated):
        await world.authentication.bearer(pair.refresh_token)
    assert await outcome(world, pair.access_token) == "unauthenticated"


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 1_000_000, "\0" * 43, "é" * 43, "A" * 43 + "\n"])
async def test_an_unknown_refresh_token_is_refused_and_changes_nothing(world: World, token: str) -> None:
    _, pair = await opened(world)
    assert await outcome(world, token) == "unauthenticated"
    assert world.rows(COUNT) == [(1, 1, 1)]
    assert await is_let_in(world, pair)


async def test_each_exchange_gives_a_pair_and_the_token_before_is_spent(world: World) -> None:
    _, pair = await opened(world)
    seen = {pair.refresh_token}
    for _ in range(5):
        world.clock.now += 20 * MINUTE_MS
        pair = await world.tokens.refresh(pair.refresh_token)
        assert await is_let_in(world, pair)
        seen.add(pair.refresh_token)
    assert len(seen) == 6
    assert world.rows(COUNT) == [(6, 1, 1)]


async def test_a_lost_reply_is_asked_for_again_for_a_minute(world: World) -> None:
    _, first = await opened(world)
    lost = await world.tokens.refresh(first.refresh_token)
    world.clock.now += MINUTE_MS - 1
    again = await world.tokens.refresh(first.refresh_token)

    assert await outcome(world, lost.refresh_token) == "unauthenticated"
    assert world.rows(COUNT) == [(2, 1, 1)]
    assert isinstance(await outcome(world, again.refresh_token), TokenPair)


@pytest.mark.parametrize("reuse", ["late", "after its successor was used"])
async def test_any_other_reuse_ends_the_family_and_no_other(world: World, reuse: str) -> None:
    issued, first = await opened(world)
    other = await world.tokens.open(await world.login(issued))
    second = await world.tokens.refresh(first.refresh_token)
    if reuse == "late":
        world.clock.now += MINUTE_MS
    else:
        second = await world.tokens.refresh(second.refresh_token)

    with pytest.raises(TokenReused):
        await world.tokens.refresh(first.refresh_token)
    assert not await is_let_in(world, first)
    assert not await is_let_in(world, second)
    assert await outcome(world, second.refresh_token) == "unauthenticated"
    assert await is_let_in(world, other)
    assert world.rows(COUNT) == [(1, 1, 1)]


async def test_a_thief_who_was_quicker_is_found_out_weeks_later(world: World) -> None:
    _, first = await opened(world)
    thief = await world.tokens.refresh(first.refresh_token)
    world.clock.now += 29 * DAY_MS
    thief = await world.tokens.refresh(thief.refresh_token)

    with pytest.raises(TokenReused):
        await world.tokens.refresh(first.refresh_token)
    assert not await is_let_in(world, thief)


async def test_a_token_that_was_not_used_for_thirty_days_is_over(world: World) -> None:
    _, pair = await opened(world)
    world.clock.now += 30 * DAY_MS - 1
    pair = await world.tokens.refresh(pair.refresh_token)
    world.clock.now += 30 * DAY_MS
    assert await outcome(world, pair.refresh_token) == "unauthenticated"


async def test_of_exchanges_at_once_one_chain_lives(world: World) -> None:
    _, first = await opened(world)
    answers = await asyncio.gather(*(outcome(world, first.refresh_token) for _ in range(20)))

    pairs = [answer for answer in answers if isinstance(answer, TokenPair)]
    assert len(pairs) == 20
    assert world.rows(COUNT) == [(2, 1, 1)]
    assert all([await is_let_in(world, pair) for pair in pairs])
    again = await asyncio.gather(*(outcome(world, pair.refresh_token) for pair in pairs))
    assert sorted(str(answer) for answer in again if not isinstance(answer, TokenPair)) == ["unauthenticated"] * 19
    assert world.rows(COUNT) == [(3, 1, 1)]


async def test_a_logout_ends_one_session_at_once(world: World) -> None:
    issued, pair = await opened(world)
    other = await world.tokens.open(await world.login(issued))
    caller = await world.authentication.bearer(pair.access_token)

    await world.tokens.close(caller)

    assert not await is_let_in(world, pair)
    assert await is_let_in(world, other)
    with pytest.raises(Unauthenticated):
        await world.authentication.confirm(caller)
    assert await outcome(world, pair.refresh_token) == "unauthenticated"


async def test_only_a_ukey_opens_a_session_and_only_a_session_is_logged_out_of(world: World) -> None:
    issued, pair = await opened(world)
    with pytest.raises(Forbidden):
        await world.tokens.open(await world.authentication.bearer(pair.access_token))
    with pytest.raises(Forbidden):
        await world.tokens.close(await world.login(issued))
    gone = await world.login(issued)
    await world.retrieve()
    with pytest.raises(Unauthenticated):
        await world.tokens.open(gone)


async def test_a_persons_sessions_are_bounded_and_the_oldest_ends(world: World) -> None:
    issued, first = await opened(world)
    caller = await world.login(issued)
    second = await world.tokens.open(caller)
    first = await world.tokens.refresh(first.refresh_token)
    pairs = [await world.tokens.open(caller) for _ in range(MAX_FAMILIES - 1)]

    assert world.rows(COUNT)[0][1:] == (MAX_FAMILIES, MAX_FAMILIES)
    assert not await is_let_in(world, second)
    assert all([await is_let_in(world, pair) for pair in (first, *pairs)])


async def test_who_is_shut_out_is_out_at_once_and_may_come_back(world: World) -> None:
    issued, pair = await opened(world)
    await set_disabled(world.db, issued.uid, disabled=True, operator="ops", now=world.clock())
    assert not await is_let_in(world, pair)
    assert await outcome(world, pair.refresh_token) == "unauthenticated"
    await set_disabled(world.db, issued.uid, disabled=False, operator="ops", now=world.clock())
    assert await is_let_in(world, pair)
    assert isinstance(await outcome(world, pair.refresh_token), TokenPair)


async def test_another_persons_family_lets_nobody_in(world: World) -> None:
    _, pair = await opened(world)
    ben = await world.register(OTHER)
    caller = await world.authentication.bearer(pair.access_token)
    assert caller.family
    forged, _ = world.tokens.access_tokens.sign(ben.uid, caller.family, world.clock())
    with pytest.raises(Unauthenticated):
        await world.authentication.bearer(forged)
    with pytest.raises(Unauthenticated):
        await world.authentication.confirm(Caller(ben.uid, None, family=caller.family))


async def test_retrieval_ends_every_session_of_the_account_and_of_no_other(world: World) -> None:
    _, pair = await opened(world)
    ben = await world.tokens.open(await world.login(await world.register(OTHER)))
    await world.retrieve()
    assert not await is_let_in(world, pair)
    assert await outcome(world, pair.refresh_token) == "unauthenticated"
    assert await is_let_in(world, ben)


async def test_who_prolongs_a_session_is_seen_and_keeps_the_number(world: World) -> None:
    issued, pair = await opened(world)
    for _ in range(4):
        world.clock.now += 29 * DAY_MS
        pair = await world.tokens.refresh(pair.refresh_token)
    assert world.rows("select seen_at from users") == [(world.clock.now,)]
    assert (await world.retrieve()).uid == issued.uid


async def test_a_given_up_number_takes_the_ukey_and_leaves_who_has_a_password_the_rest(world: World) -> None:
    issued = await world.register(PHONE, cid="phone")
    caller = await world.login(issued)
    name = {"email": "ann@example.org", "password": "correct horse"}
    await world.passwords.add_name(caller, name, "192.0.2.1")
    world.clock.now += 91 * DAY_MS

    new = await world.retrieve(nickname="Newcomer")

    assert new.uid != issued.uid
    with pytest.raises(Unauthenticated):
        await world.login(issued)
    uid, pair = await world.passwords.log_in(name, "192.0.2.1")
    assert uid == issued.uid
    me = await world.accounts.me(UserId(uid))
    assert (me["phone_hash"], me["region_num"], me["email"]) == (None, None, "ann@example.org")
    by_token = await world.authentication.bearer(pair.access_token)
    assert by_token.phone_hash is None
    with pytest.raises(Forbidden):
        await world.accounts.renew_ukey(by_token)
    assert world.rows("select uid, ended_at from devices") == [(uid, None)]


async def test_a_ukey_that_is_asked_for_by_a_token_leaves_the_one_in_use(world: World) -> None:
    issued, pair = await opened(world)
    caller = await world.authentication.bearer(pair.access_token)
    for _ in range(20):
        fresh = await world.accounts.renew_ukey(caller)
    assert world.rows("select count(*) from credentials") == [(2,)]
    assert (await world.login(issued)).uid == issued.uid
    assert (await world.login(issued, fresh)).uid == issued.uid
    with pytest.raises(Unauthenticated):
        await world.login(issued)


async def test_a_session_without_a_ukey_left_gets_one(world: World) -> None:
    issued, pair = await opened(world)

    async def forget(tx: Transaction) -> None:
        await credentials.delete_all(tx, uid=issued.uid)

    await world.db.write(forget)
    fresh = await world.accounts.renew_ukey(await world.authentication.bearer(pair.access_token))
    assert (await world.login(issued, fresh)).uid == issued.uid
