# SPDX-License-Identifier: Apache-2.0
"""Nobody shuts an inbox for the others, with the shares that ship: one stranger, many strangers, one friend."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from config.load import load
from models.errors import InboxFull
from models.user import UserId
from tests.services.town import Town, open_town
from tests.support.engines import Engine
from tests.support.shipped import SHARES

pytestmark = pytest.mark.anyio

INBOX = load().inbox


@pytest.fixture
async def town(engine: Engine, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(engine, tmp_path) as town:
        town.max_pending, town.shares = INBOX.max_pending, {name: getattr(INBOX, name) for name in SHARES}
        yield town
        town.check()


async def befriend(town: Town, one: UserId, other: UserId) -> None:
    await town.people.befriend(one, other)
    await town.people.befriend(other, one)


async def fill(town: Town, senders: Sequence[UserId], receiver: UserId) -> list[int]:
    """How many images each gets in until they are refused."""
    taken = []
    for sender in senders:
        for sent in range(INBOX.max_pending + 1):
            try:
                await town.send(sender, receiver_uid=receiver, data=b"1")
            except InboxFull:
                taken.append(sent)
                break
    return taken


async def test_one_stranger_leaves_room_for_strangers_and_friends(town: Town) -> None:
    ann, abuser, stranger, friend = await town.newcomers(4)
    await befriend(town, ann, friend)
    assert await fill(town, [abuser], ann) == [50]
    assert await fill(town, [stranger], ann) == [20]
    assert await fill(town, [friend], ann) == [50]


async def test_strangers_together_leave_half_to_friends(town: Town) -> None:
    ann, one, other, *abusers = await town.newcomers(8)
    await befriend(town, ann, one)
    await befriend(town, ann, other)
    assert sum(await fill(town, abusers, ann)) == 100
    assert await fill(town, [one, other], ann) == [50, 50]


async def test_one_friend_leaves_half_to_the_others(town: Town) -> None:
    ann, abuser, friend, stranger = await town.newcomers(4)
    await befriend(town, ann, abuser)
    await befriend(town, ann, friend)
    assert await fill(town, [abuser], ann) == [100]
    assert await fill(town, [stranger, friend], ann) == [20, 50]


async def test_a_group_is_no_way_around_a_share(town: Town) -> None:
    ann, abuser, friend = await town.newcomers(3)
    await befriend(town, ann, friend)
    group = await town.group(abuser, ann)
    assert await fill(town, [abuser], ann) == [50]
    over = await town.send(abuser, group_id=group, data=b"1")
    assert town.states(over.message_id) == ["withheld"], "left out, and not told"
    assert await fill(town, [friend], ann) == [50]


async def test_blocking_opens_the_inbox_again_and_does_not_change_what_the_abuser_can_tell(town: Town) -> None:
    ann, cat, *strangers = await town.newcomers(7)
    abuser, stranger = strangers[0], strangers[-1]
    for receiver in (ann, cat):
        assert sum(await fill(town, strangers[:-1], receiver)) == 100
        assert await fill(town, [stranger], receiver) == [0]
    await town.people.block(ann, abuser)
    assert await fill(town, [abuser], ann) == await fill(town, [abuser], cat) == [0]
    assert await fill(town, [stranger], ann) == [20]
    assert await fill(town, [abuser], ann) == [0]


async def test_bytes_are_shared_as_images_are(town: Town) -> None:
    ann, abuser, stranger = await town.newcomers(3)
    town.max_pending_bytes = 1000
    for _ in range(3):
        await town.send(abuser, receiver_uid=ann, data=b"1" * 84)
    with pytest.raises(InboxFull):
        await town.send(abuser, receiver_uid=ann, data=b"1" * 84)
    await town.send(stranger, receiver_uid=ann, data=b"1" * 200)
