# SPDX-License-Identifier: Apache-2.0
"""Who leaves is gone: every table has a rule for it, every step is short, and a crash half way is mended."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import LargeBinary

from models.clock import MINUTE_MS
from models.db.database import Changed, Statement, Transaction, Unit, Value
from models.db.schema import NOT_EXPORTED, metadata, outbox, users
from models.db.tables import erasure, personal_data
from models.errors import NotFound, Unauthenticated
from models.group import Group, JoinPolicy
from services.accounts.account_deletion import AccountDeletion, finish_all
from services.groups import Groups, NewGroup
from tests.services.accounts.mentions import LEAVER, OTHER, fill, left_of, mentions
from tests.services.accounts.world import PHONE, CountingDatabase, T, World
from tests.support.engines import NewFolder
from tests.support.harness import BROKEN, Person, Server, phone_number, running, wait_until
from tests.support.pictures import jpeg
from tests.support.rows import insert
from tests.support.shipped import send_policy


def test_every_column_that_names_people_has_a_rule_for_who_leaves() -> None:
    ruled = [str(rule.column) for rule in erasure.RULES if rule.column is not outbox.c.device_id]
    assert sorted(ruled) == sorted(map(str, mentions()))


def test_every_table_that_hangs_on_erased_rows_has_a_rule_too() -> None:
    ruled = {rule.column for rule in erasure.RULES}
    gone = {rule.column.table for rule in erasure.RULES if rule.change.sql("sqlite").text.startswith("DELETE")}
    hanging = {
        column
        for table in metadata.sorted_tables
        for column in table.columns
        for key in column.foreign_keys
        if key.column.table in gone
    }
    assert hanging <= ruled


def test_every_table_that_names_people_is_exported_or_says_why_not() -> None:
    sections = (*personal_data.SECTIONS, personal_data.ACTIVATIONS)
    exported = {column.table for section in sections for column in (section.whose, *section.columns)}
    missing = [column for column in mentions() if column.table not in exported and NOT_EXPORTED not in column.info]
    assert [str(column) for column in missing] == []


def test_what_lets_somebody_in_is_not_exported() -> None:
    shown = {column for section in personal_data.SECTIONS for column in section.columns}
    shown |= {*personal_data.PROFILE, *personal_data.ACTIVATIONS.columns}
    secret = [str(column) for column in shown if re.search("digest|token|cipher|hmac|password|code|cid", column.name)]
    binary = [str(column) for column in shown if isinstance(column.type, LargeBinary)]
    assert secret == []
    assert sorted(binary) == ["messages.preview_sha256", "messages.sha256"]


def leaving(world: World) -> AccountDeletion:
    return AccountDeletion(
        db=world.db, keys=world.keys, wake_retention=lambda: world.woken.append(0), clock=world.clock
    )


@pytest.mark.anyio
async def test_nothing_names_who_has_left_and_others_keep_theirs(world: World) -> None:
    ann, ben = await world.register(), await world.register(phone_num="13900139000", nickname="Ben")
    assert (ann.uid, ben.uid) == (LEAVER, OTHER)
    assert await fill(world.db) > len(mentions())
    assert set(left_of(world.engine, ann.uid)) == {str(column) for column in (*mentions(), users.c.uid)}
    planned = await leaving(world).dry_run(ann.uid)
    assert all(planned.values())

    assert await leaving(world).leave(ann.uid)

    assert left_of(world.engine, ann.uid) == []
    assert world.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert world.rows(f"SELECT count(*) FROM messages WHERE sender_uid = {ben.uid} OR receiver_uid = {ben.uid}") == [
        (2,)
    ]
    assert (await world.login(ben)).uid == ben.uid
    assert not await leaving(world).leave(ann.uid)
    again = await world.register()
    assert again.uid > ben.uid


@pytest.mark.anyio
async def test_what_two_people_who_left_said_to_each_other_is_forgotten(world: World) -> None:
    ann, ben = await world.register(), await world.register(phone_num="13900139000")
    await fill(world.db)
    world.engine.execute("UPDATE messages SET group_id = NULL, caption = 'hush', body = 'hush'")
    await leaving(world).leave(ann.uid)
    assert world.rows("SELECT DISTINCT caption FROM messages") == [("hush",)]
    await leaving(world).leave(ben.uid)
    assert world.rows("SELECT DISTINCT caption, body FROM messages") == [("", None)]


class Sized(Transaction):
    """Counts the rows that it changes."""

    def __init__(self, touched: set[int]) -> None:
        self.touched = touched
        self.size = 0

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        changed = await super().execute(statement, **params)
        self.size += changed.count
        return changed


class Steps(CountingDatabase):
    """A world's database, telling how many rows each transaction changed, and how many ways in were left after it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.db)
        self.sizes: list[int] = []
        self.ways_in: list[tuple[int]] = []
        self._world = world

    async def write(self, unit: Unit[T]) -> T:
        async def sized(tx: Transaction) -> T:
            inner = Sized(tx.touched)
            result = await unit(inner)
            self.sizes.append(inner.size)
            return result

        done = await super().write(sized)
        self.ways_in += self._world.rows("SELECT count(*) FROM credentials")
        return done


@pytest.mark.anyio
async def test_a_big_account_goes_in_short_steps_of_which_the_first_lets_nobody_in(world: World) -> None:
    ann = await world.register()
    events = [(ann.uid, number, "image", 0, "{}") for number in range(1000)]
    insert(world.engine, "events", "uid, event_id, type, at, data", events)
    steps = Steps(world)
    await AccountDeletion(db=steps, keys=world.keys, wake_retention=lambda: None, clock=world.clock).leave(ann.uid)
    assert sum(steps.sizes) > 1000
    assert max(steps.sizes) <= 200
    assert set(steps.ways_in) == {(0,)}
    assert left_of(world.engine, ann.uid) == []


@pytest.mark.anyio
async def test_a_group_begun_by_a_last_request_while_its_owner_leaves_ends_with_the_account(world: World) -> None:
    ann, ben = await world.register(), await world.register(phone_num="13900139000")
    groups = Groups(
        db=world.db, limits=world.limits, policy=send_policy(), wake_retention=lambda: None, clock=world.clock
    )
    late: list[asyncio.Task[Group]] = []
    late_group = NewGroup("Late", JoinPolicy.INVITE, frozenset({ben.uid}))

    def clock() -> int:
        if world.rows("SELECT 1 FROM users WHERE leaving_at IS NOT NULL") and not late:
            late.append(asyncio.create_task(groups.create(ann.uid, late_group)))
        return world.clock()

    await AccountDeletion(db=world.db, keys=world.keys, wake_retention=lambda: None, clock=clock).leave(ann.uid)
    with suppress(Unauthenticated):  # where the account was erased first
        await late[0]
    assert world.rows("SELECT group_id FROM `groups`") == world.rows("SELECT uid FROM invitations") == []
    told = world.rows(f"SELECT type FROM events WHERE uid = {ben.uid} ORDER BY event_id")
    assert told in ([("group_invited",)], [])
    assert left_of(world.engine, ann.uid) == []


@pytest.mark.anyio
async def test_one_account_that_cannot_be_erased_does_not_keep_the_others(world: World) -> None:
    ann, ben = await world.register(), await world.register(phone_num="13900139000")
    execute = world.engine.execute
    execute("UPDATE users SET leaving_at = uid, disabled_at = uid")
    with pytest.raises(NotFound):
        await world.accounts.get_user(ben.uid)
    execute("CREATE TABLE unruled (uid BIGINT, FOREIGN KEY (uid) REFERENCES users (uid))")
    execute("INSERT INTO unruled VALUES (?)", ann.uid)
    with pytest.raises(Exception, match="can") as failure:
        await finish_all(world.db, world.clock)
    assert "foreign key" in failure.value.cause.lower()  # type: ignore[attr-defined]
    assert world.rows("SELECT uid FROM users") == [(ann.uid,)]
    execute("DROP TABLE unruled")
    assert await finish_all(world.db, world.clock) == 1
    assert left_of(world.engine, ann.uid) == left_of(world.engine, ben.uid) == []


@pytest.mark.anyio
async def test_leaving_does_not_renew_what_codes_a_number_may_get(strict: World) -> None:
    for number in range(5):
        started, code = await strict.start()
        issued = await strict.activation.confirm(started.activation_id, {"code": code}, None)
        await leaving(strict).leave(issued.uid)
        assert strict.rows("SELECT count(*) FROM activations") == [(0,)], number
        strict.clock.passes(MINUTE_MS // 1000)
    with pytest.raises(Exception, match="Too many codes"):
        await strict.accounts.register(PHONE, None)


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("leaving"), {"retention": {"interval_seconds": 1}}) as server:
        yield server
        assert server.failures() == []


def registered(server: Server, number: str, **fields: str) -> Person:
    return server.register("Ann", phone_num=number, **fields)


def test_who_has_left_is_let_in_no_more_and_their_names_are_free(server: Server) -> None:
    number = phone_number()
    ann = registered(server, number, cid="cid-of-ann")
    secret = {"email": f"{number}@example.org", "password": "correct horse"}
    assert ann.request("PUT", "/v1/me/credentials", json=secret).status_code == 204
    session = server.client.post("/v1/login", json=secret).json()

    assert ann.request("DELETE", "/v1/me").status_code == 204

    assert ann.request("DELETE", "/v1/me").status_code == 401
    token = {"Authorization": f"Bearer {session['access_token']}"}
    refresh = {"refresh_token": session["refresh_token"]}
    assert server.client.get("/v1/me", headers=token).status_code == 401
    assert server.client.post("/v1/tokens/refresh", json=refresh).status_code == 401
    assert server.client.post("/v1/login", json=secret).status_code == 401
    assert server.client.post("/v1/signup", json=secret).status_code == 201
    again = registered(server, number)
    assert (again.uid > ann.uid, again.phone_hash) == (True, ann.phone_hash)
    assert again.request("GET", "/v1/inbox").json()["items"] == []


def test_a_person_leaves_and_what_they_sent_stays_without_a_sender(server: Server) -> None:
    ann, ben, cat = server.register("Ann", cid="cid-of-ann"), server.register("Ben", cid="ben"), server.register("Cat")
    picture = jpeg()
    sent = ann.send(ben, picture, caption="from Ann").headers["Message-Key"]
    waiting = ben.send(ann, jpeg()).headers["Message-Key"]
    before = set(server.stored_files())
    group = ann.begin_group(ben, cat)

    assert ann.request("DELETE", "/v1/me").status_code == 204

    members = ben.request("GET", f"/v1/groups/{group}").json()["members"]
    assert [(member["uid"], member["role"]) for member in members] == [(ben.uid, "owner"), (cat.uid, "member")]
    assert ben.request("GET", f"/v1/users/{ann.uid}").status_code == 404
    assert ben.send(ann, jpeg()).json()["code"] == "recipient_unavailable"
    ended = {"message_id": 0, "state": "expired", "send_time": 0, "consumed_at": None, "receivers": []}
    assert ben.status(waiting) | {"message_id": 0, "send_time": 0} == ended
    wait_until(lambda: len(before - set(server.stored_files())) == 1, what="the end of the waiting file")
    [item] = ben.request("GET", "/v1/inbox").json()["items"]
    assert (item["message_key"], item["caption"]) == (sent, "from Ann")
    assert (item["sender_uid"], item["sender_region"], item["sender_phone"]) == (None, None, None)
    fetched = ben.get(sent)
    assert (fetched.status_code, fetched.content) == (200, picture)
    assert "Sender-Uid" not in fetched.headers
    assert left_of(server.database, ann.uid) == []


@pytest.mark.usefixtures("engine")
def test_a_crash_half_way_leaves_an_account_that_nobody_enters_and_the_next_start_ends(tmp_path: Path) -> None:
    settings = {"retention": {"interval_seconds": 1}}
    with running(tmp_path, settings, GLIMPSE_FAULT="after_erasure_step:2") as server:
        number = phone_number()
        ann, ben = registered(server, number, cid="cid-of-ann"), server.register("Ben")
        ben.send(ann, jpeg())
        with pytest.raises(BROKEN):
            ann.request("DELETE", "/v1/me")
        assert server.wait() != 0
        assert left_of(server.database, ann.uid) != []
        server.start()
        assert Person(server, ann.uid, ann.ukey, ann.phone_hash).request("GET", "/v1/me").status_code == 401
        assert registered(server, number).uid > ann.uid
        wait_until(lambda: left_of(server.database, ann.uid) == [], what="the erasure")
        wait_until(lambda: server.stored_files() == [], what="the end of the file")
        assert server.failures() == []


def test_who_leaves_twice_at_once_has_left(server: Server) -> None:
    ann = server.register("Ann")

    def leave(_: int) -> httpx.Response:
        return ann.request("DELETE", "/v1/me")

    with ThreadPoolExecutor(8) as pool:
        codes = {reply.status_code for reply in pool.map(leave, range(8))}
    assert codes <= {204, 401}
    assert 204 in codes
