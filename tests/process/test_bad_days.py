# SPDX-License-Identifier: Apache-2.0
"""Bad days of a MariaDB server under the real program: what clients are told, and that it gets well by itself.

All tests share one server and one database: whatever was accepted on any of these days is there after the last.
"""

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pymysql
import pytest

from tests.process.cutting import Way
from tests.support import mounting
from tests.support.engines import NEEDS_MARIADBD
from tests.support.harness import Person, Server, running, wait_until
from tests.support.mariadb import PASSWORD, USER, MariaDB
from tests.support.pictures import png
from tests.support.stopping import hang

DATABASE = "glimpse_bad_days"
PICTURE = png(3, 3)
TOO_MANY_CONNECTIONS = 1040

pytestmark = NEEDS_MARIADBD


@dataclass
class Day:
    """The database, a server on it, two people, and what was accepted and not fetched."""

    maria: MariaDB
    way: Way
    server: Server
    ann: Person
    ben: Person
    accepted: list[str] = field(default_factory=list)

    def send(self, **headers: str) -> httpx.Response:
        reply = self.ann.send(self.ben, PICTURE, headers=headers)
        if reply.status_code == 201:
            self.accepted.append(reply.headers["message-key"])
        return reply

    def is_refused(self, reply: httpx.Response) -> bool:
        return reply.status_code == 503 and int(reply.headers["retry-after"]) > 0

    def is_told(self) -> None:
        """Whoever watches the server sees that it cannot do its work."""
        wait_until(lambda: self.server.client.get("/readyz").status_code == 503, what="a word of it", pause=0.1)

    def get_well(self) -> None:
        """The server recovers by itself, and serves as before."""
        wait_until(lambda: self.server.client.get("/readyz").status_code == 200, what="recovery", pause=0.1)
        assert self.send().status_code == 201
        assert self.ben.get(self.accepted.pop()).content == PICTURE
        inbox = self.ben.request("GET", "/v1/inbox", params={"limit": 100}).json()
        assert {item["message_key"] for item in inbox["items"]} <= set(self.accepted)

    @contextlib.contextmanager
    def administrator(self) -> Iterator[Any]:
        connection = self.maria.connect(DATABASE)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


def sessions(cursor: Any) -> set[int]:
    """The connections of the server, and of whoever else comes as the same user."""
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (USER,))
    return {number for (number,) in cursor.fetchall()}


def end(cursor: Any, numbers: set[int]) -> None:
    for number in numbers:
        with contextlib.suppress(pymysql.err.OperationalError):
            cursor.execute(f"KILL {number}")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    maria = MariaDB()
    way = Way(maria.port)
    try:
        with contextlib.closing(maria.connect()) as connection:
            connection.query(f"CREATE DATABASE {DATABASE}")
        url = maria.url(DATABASE).replace(f":{maria.port}/", f":{way.port}/")
        settings = {
            "database": {"url": url},
            "limits": {"enabled": False},
            "inbox": {"max_pending": 100_000},
            "samples": {"enabled": False},
        }
        with running(tmp_path_factory.mktemp("days"), settings) as server:
            day = Day(maria, way, server, server.register("Ann"), server.register("Ben", cid="ben"))
            yield day
            day.get_well()
            assert [day.ben.get(key).content for key in day.accepted] == [PICTURE] * len(day.accepted)
    finally:
        way.close()
        maria.close()


def test_killed_sessions_cost_nobody_anything(day: Day) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert {reply.status_code for reply in pool.map(lambda _: day.send(), range(8))} == {201}
        for _ in range(3):
            with day.administrator() as cursor:
                end(cursor, sessions(cursor))
            asked = [pool.submit(day.ben.request, "GET", "/v1/inbox") for _ in range(4)]
            assert {reply.result().status_code for reply in asked} == {200}
            assert {reply.status_code for reply in pool.map(lambda _: day.send(), range(4))} == {201}
    day.get_well()


def test_a_database_that_is_killed_is_a_503_and_then_all_is_well_again(day: Day) -> None:
    stop = threading.Event()
    replies: list[httpx.Response] = []

    def keep_sending() -> None:
        while not stop.is_set():
            replies.append(day.send())

    with ThreadPoolExecutor(3) as pool:
        sending = [pool.submit(keep_sending) for _ in range(3)]
        try:
            wait_until(lambda: len(replies) > 5, what="images")
            day.maria.kill()
            wait_until(lambda: any(reply.status_code != 201 for reply in replies), what="a refusal")
            day.is_told()
            assert day.server.client.get("/healthz").status_code == 200
            assert day.is_refused(day.ben.request("GET", "/v1/inbox"))
            day.maria.start()
            count = len(replies)
            wait_until(lambda: any(reply.status_code == 201 for reply in replies[count:]), what="images again")
        finally:
            stop.set()
        for one in sending:
            one.result()
    assert all(reply.status_code == 201 or day.is_refused(reply) for reply in replies)
    day.get_well()


def test_a_question_outlasts_a_restart_of_the_database(day: Day) -> None:
    with ThreadPoolExecutor(2) as pool:
        day.maria.kill()
        asked = [pool.submit(day.ben.request, "GET", "/v1/inbox"), pool.submit(day.send)]
        day.maria.start()
        assert [reply.result().status_code for reply in asked] == [200, 201]
    day.get_well()


def test_a_commit_whose_answer_is_lost_is_done_once_for_all_tries_of_a_key(day: Day) -> None:
    before = len(day.accepted)
    with day.administrator() as cursor:
        cursor.execute("SELECT COUNT(*) FROM messages WHERE sender_uid = %s", (day.ann.uid,))
        [(rows,)] = cursor.fetchall()
    for number in range(3):
        once = {"Idempotency-Key": f"unknown-{number}"}
        day.way.cut_commits(1)
        replies = [day.send(**once)]
        while replies[-1].status_code != 201:
            assert day.is_refused(replies[-1])
            replies.append(day.send(**once))
        assert day.send(**once).headers["message-key"] == replies[-1].headers["message-key"]
        day.accepted.pop()
    assert day.way.cut == 3
    with day.administrator() as cursor:
        cursor.execute("SELECT COUNT(*) FROM messages WHERE message_key IN %s", (day.accepted[before:],))
        [(found,)] = cursor.fetchall()
        cursor.execute("SELECT COUNT(*) FROM messages WHERE sender_uid = %s", (day.ann.uid,))
        [(after,)] = cursor.fetchall()
    assert (found, after) == (3, rows + 3)
    day.get_well()


def test_a_read_only_database_refuses_what_writes_and_serves_what_reads(day: Day) -> None:
    with day.administrator() as cursor:
        cursor.execute("SET GLOBAL read_only = 1")
        try:
            assert day.is_refused(day.send())
            assert day.ben.request("GET", "/v1/inbox").status_code == 200
            day.is_told()
        finally:
            cursor.execute("SET GLOBAL read_only = 0")
    day.get_well()


def test_a_database_without_a_connection_to_spare_is_a_503(day: Day) -> None:
    with day.administrator() as cursor, contextlib.ExitStack() as others:
        cursor.execute("SET GLOBAL max_connections = 10")
        mine: set[int] = set()

        def all_are_taken() -> bool:
            # A session that has been ended holds its place for a while: only without any is a refusal the test's doing.
            end(cursor, sessions(cursor) - mine)
            alone = sessions(cursor) == mine
            try:
                while True:
                    one = pymysql.connect(host="127.0.0.1", port=day.maria.port, user=USER, password=PASSWORD)
                    mine.add(others.enter_context(contextlib.closing(one)).thread_id())
            except pymysql.err.OperationalError as error:
                if error.args[0] != TOO_MANY_CONNECTIONS:
                    raise
            return alone and sessions(cursor) == mine

        try:
            wait_until(all_are_taken, what="every connection")
            assert day.is_refused(day.ben.request("GET", "/v1/inbox"))
        finally:
            cursor.execute("SET GLOBAL max_connections = 400")
    day.get_well()


def test_a_row_that_another_session_holds_delays_its_own_alone(day: Day) -> None:
    cat = day.server.register("Cat")
    with day.administrator() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT uid FROM users WHERE uid = %s FOR UPDATE", (day.ben.uid,))
        assert day.is_refused(day.send())
        assert day.ann.send(cat, PICTURE).status_code == 201
        cursor.execute("ROLLBACK")
    day.get_well()


def test_a_table_that_another_session_holds_is_a_503_and_no_session_is_left_behind(day: Day) -> None:
    with day.administrator() as cursor:
        cursor.execute("LOCK TABLES deliveries WRITE")
        try:
            assert day.is_refused(day.ben.request("GET", "/v1/inbox"))
        finally:
            cursor.execute("UNLOCK TABLES")
    day.get_well()
    with day.administrator() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s AND time > 60", (USER,))
        [(count,)] = cursor.fetchall()
    assert count == 0


def test_a_database_that_hangs_is_a_503_and_told_by_readyz(day: Day) -> None:
    hang(day.maria.pid)
    try:
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(day.ben.request, "GET", "/v1/inbox"), pool.submit(day.send)]
            day.is_told()
            assert day.server.client.get("/healthz").status_code == 200
            replies = [reply.result() for reply in asked]
            assert all(map(day.is_refused, replies)), [(reply.status_code, reply.text) for reply in replies]
    finally:
        os.kill(day.maria.pid, signal.SIGCONT)
    day.get_well()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A filesystem of its own, too small for much, which the database's user can reach."""
    place = Path(tempfile.mkdtemp(prefix="glimpse-small-disk-"))
    try:
        with mounting.small_disk(place, "size=160m,mode=0755"):
            yield place
    finally:
        place.rmdir()


def test_a_database_whose_disk_is_full_refuses_and_room_makes_it_well(small_disk: Path, tmp_path: Path) -> None:
    maria = MariaDB(parent=small_disk)
    try:
        with contextlib.closing(maria.connect()) as connection:
            connection.query(f"CREATE DATABASE {DATABASE}")
        settings = {
            "database": {"url": maria.url(DATABASE)},
            "limits": {"enabled": False},
            "inbox": {"max_pending": 100_000},
            "samples": {"enabled": False},
        }
        with running(tmp_path, settings) as server:
            ann, ben = server.register("Ann"), server.register("Ben")
            kept = ann.send(ben, PICTURE).headers["message-key"]
            filler = small_disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(65536)):
                    pass
            replies = [ann.send(ben, PICTURE)]
            while replies[-1].status_code == 201:
                replies.append(ann.send(ben, PICTURE))
            assert replies[-1].status_code in (503, 507)
            assert ben.request("GET", "/v1/inbox").status_code == 200
            filler.unlink()
            wait_until(lambda: ann.send(ben, PICTURE).status_code == 201, what="room", pause=0.2)
            accepted = [reply.headers["message-key"] for reply in replies[:-1]]
            assert {ben.get(key).content for key in [kept, *accepted]} == {PICTURE}
            assert server.client.get("/readyz").status_code == 200
    finally:
        maria.close()
