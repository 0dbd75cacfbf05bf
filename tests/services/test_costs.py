# SPDX-License-Identifier: Apache-2.0
"""What a message costs is counted against its sender before anything of it is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models.errors import RateLimited
from models.group import Role
from models.user import UserId
from services.groups import GroupChanges, read_new_group
from services.limits import Limits
from services.membership import MAX_MEMBERS
from tests.services.town import Town, open_town
from tests.support import shipped
from tests.support.engines import ON_SQLITE, Engine, NewFolder
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg

EMOJI = "\U0001f600"
LONGEST_IMAGE = 20 * 1024 * 1024


@asynccontextmanager
async def strict(engine: Engine, folder: Path, **rates: str) -> AsyncIterator[Town]:
    """People of whom each may cost so much."""
    async with open_town(engine, folder) as town:
        town.limits = Limits(db=town.db, keys=town.keys, monotonic=lambda: 0.5, **shipped.rates(per_account=rates))
        yield town


def kept(town: Town) -> tuple[int, int, int]:
    """How many messages, events about them, and files there are."""
    [(messages,)] = town.engine.rows("SELECT count(*) FROM messages")
    [(events,)] = town.engine.rows("SELECT count(*) FROM events WHERE message_id IS NOT NULL")
    return messages, events, town.files()


async def refused(town: Town, sender: UserId, *, picture: bool = False, **said: object) -> bool:
    """Whether it was, and then left nothing behind."""
    before, wait = kept(town), 0
    try:
        await (town.send(sender, **said) if picture else town.say(sender, **said))  # type: ignore[arg-type]
    except RateLimited as error:
        wait = error.retry_after or 0
    assert 0 <= wait <= 3600
    assert (kept(town) == before) == (wait > 0)
    return wait > 0


@pytest.mark.anyio
@pytest.mark.parametrize("picture", [False, True])
async def test_a_message_to_a_group_counts_for_each_who_gets_it(
    engine: Engine, tmp_path: Path, *, picture: bool
) -> None:
    async with strict(engine, tmp_path, delivery="12/hour") as town:  # the two groups cost one each
        ann, *others = await town.newcomers(5)
        group, small = await town.group(ann, *others), await town.group(ann, others[0])
        for addressee in ({"group_id": group}, {"group_id": group}, {"receiver_uid": others[0]}):
            assert not await refused(town, ann, picture=picture, **addressee)
        assert await refused(town, ann, picture=picture, group_id=group)
        assert not await refused(town, ann, picture=picture, group_id=small)
        assert await refused(town, ann, picture=picture, receiver_uid=others[0])
        assert not await refused(town, others[0], picture=picture, group_id=group)
        assert kept(town) == (5, 2 * 4 + 1 + 1 + 4, 5 * picture)


@pytest.mark.anyio
async def test_texts_count_by_their_bytes(engine: Engine, tmp_path: Path) -> None:
    async with strict(engine, tmp_path, text_bytes="70000/hour") as town:
        ann, ben = await town.newcomers(2)
        for _ in range(2):
            assert not await refused(town, ann, receiver_uid=ben, text=EMOJI * 8000)
        assert await refused(town, ann, receiver_uid=ben, text=EMOJI * 8000)
        assert not await refused(town, ann, receiver_uid=ben, text="x" * 4000)
        assert not await refused(town, ben, receiver_uid=ann, text=EMOJI * 8000)


@pytest.mark.anyio
async def test_a_repeat_costs_nothing(engine: Engine, tmp_path: Path) -> None:
    async with strict(engine, tmp_path, delivery="2/hour", text_bytes="30/hour") as town:
        ann, ben = await town.newcomers(2)
        first = [await town.say(ann, receiver_uid=ben, key="k" * 22) for _ in range(5)]
        assert len(set(first)) == 1
        assert not await refused(town, ann, receiver_uid=ben, text="x")
        assert await refused(town, ann, receiver_uid=ben, text="x")
        assert await town.say(ann, receiver_uid=ben, key="k" * 22) == first[0]


@pytest.mark.anyio
async def test_a_family_of_twenty_that_sends_thirty_pictures_meets_nothing(engine: Engine, tmp_path: Path) -> None:
    async with strict(engine, tmp_path) as town:
        for _ in range(30):
            await town.sending.admit(UserId(1), LONGEST_IMAGE)
            town.limits.charge("delivery", 1, 19)


@pytest.mark.anyio
@ON_SQLITE
async def test_what_others_write_comes_between_the_groups_that_one_account_begins(
    engine: Engine, tmp_path: Path
) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, *others = await town.newcomers(12)
        wanted = read_new_group({"name": "g", "members": [*others]}, ann)
        done: list[str] = []

        async def begin() -> None:
            await town.groups.create(ann, wanted)
            done.append("group")

        async def say() -> None:
            await town.say(ben, receiver_uid=ann)
            done.append("text")

        await asyncio.gather(*(begin() for _ in range(8)), say())
        assert done.index("text") <= 1
        assert done.count("group") == 8


@pytest.mark.anyio
async def test_a_change_of_a_group_counts_for_all_who_are_told_and_leaving_is_never_refused(
    engine: Engine, tmp_path: Path
) -> None:
    async with strict(engine, tmp_path, delivery="4/hour") as town:
        people = await town.newcomers(9)
        ann, *others, zoe = people
        group = await town.group(ann, *others)
        for number in range(10):
            told = len(town.told(others[0]))
            renaming = town.groups.update(ann, group, GroupChanges(f"group {number}", None))
            if number == 0:  # an invitation of seven people is two, a change that eight people see another two
                await renaming
                assert len(town.told(others[0])) == told + 1
            else:
                with pytest.raises(RateLimited):
                    await renaming
                assert len(town.told(others[0])) == told
        with pytest.raises(RateLimited):
            await town.groups.put_member(ann, group, zoe, None)
        with pytest.raises(RateLimited):
            await town.groups.put_member(ann, group, others[0], Role.ADMIN)
        assert town.members(group)[others[0]] == "member"
        await town.groups.update(ann, group, GroupChanges("group 0", None))  # which changes nothing
        room = await town.room_gid(group)
        await town.groups.join(zoe, room)
        await town.groups.remove_member(zoe, group, zoe)
        with pytest.raises(RateLimited):
            await town.groups.join(zoe, room)
        for other in others:
            await town.groups.remove_member(other, group, other)
        await town.groups.delete(ann, group)


@ON_SQLITE
@pytest.mark.anyio
async def test_whoever_fills_a_group_one_by_one_meets_nothing(engine: Engine, tmp_path: Path) -> None:
    async with strict(engine, tmp_path) as town:
        ann, *others = await town.newcomers(MAX_MEMBERS)
        group = await town.group(ann)
        for other in others:
            await town.put(ann, group, other)
        for _ in range(50):
            await town.say(ann, group_id=group)


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    rates = {"per_account": {"image_bytes": "100000/day"}}
    with running(new_folder("costs"), {"limits": {"rates": rates}}) as server:
        yield server
        assert server.failures() == []


def test_bytes_of_images_are_counted_before_they_come(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ann.send(ben, jpeg(60_000)).status_code == 201
    reply = ann.send(ben, jpeg(60_000))
    assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited")
    assert "Retry-After" in reply.headers
    assert ann.send(ben, jpeg(20_000)).status_code == 201
    assert ben.send(ann, jpeg(60_000)).status_code == 201


def test_bytes_of_a_body_without_a_length_are_counted_when_they_have_come(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    before = len(server.stored_files())
    statuses = [in_chunks(ann, ben, jpeg(60_000)) for _ in range(2)]
    assert statuses == [201, 429]
    assert len(server.stored_files()) == before + 1


def in_chunks(sender: Person, receiver: Person, picture: bytes) -> int:
    head = f'--b\r\nContent-Disposition: form-data; name="receiver_uid"\r\n\r\n{receiver.uid}\r\n'
    file = '--b\r\nContent-Disposition: form-data; name="img_file"; filename="x"\r\n\r\n'
    body = iter([head.encode(), file.encode(), picture, b"\r\n--b--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return sender.request("POST", "/v1/images", content=body, headers=headers).status_code
