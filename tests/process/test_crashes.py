# SPDX-License-Identifier: Apache-2.0
"""A server that is killed at every boundary of an image's way, and a server that is killed again and again."""

import asyncio
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.process.invariants import (
    KEPT,
    Told,
    check_database,
    check_promises,
    consumptions,
    inbox,
    logged_pushes,
    orphans,
    pushes_due,
    rows,
    sweep_orphans,
)
from tests.support.harness import BROKEN, Person, Server, until_answered, wait_until
from tests.support.pictures import jpeg

pytestmark = pytest.mark.usefixtures("engine")

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 100_000},
    "retention": {"interval_seconds": 1},
}
WRITERS = 8
KILLS = {"sqlite": 12, "mariadb": 6}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, SETTINGS)
    yield server
    if server.process and server.process.poll() is None:
        server.stop()
    assert server.failures() == []


def start_to_die(server: Server, point: str) -> tuple[Person, Person]:
    """Start a server that dies when it passes this point for the second time, and two people."""
    server.start(GLIMPSE_FAULT=f"{point}:2")
    return server.register("Ann"), server.register("Ben", cid="cid-ben")


def expect_death(server: Server) -> None:
    assert server.wait() == -signal.SIGKILL


def accepted(told: Told, reply: httpx.Response, picture: bytes) -> str:
    assert reply.status_code == 201, reply.text
    key: str = reply.headers["Message-Key"]
    told.accept(key, picture)
    return key


def acknowledge(told: Told, ben: Person, key: str) -> None:
    assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
    told.acknowledged.add(key)


def end_well(server: Server, ben: Person, told: Told) -> None:
    """What the crash has left is put right by now, or by the sweep."""
    check_promises(ben, told)
    assert server.stop() == 0
    asyncio.run(sweep_orphans(server.data_dir))
    check_database(server.data_dir)


@pytest.mark.parametrize(
    ("point", "left", "committed"),
    [
        ("before_link", 0, False),
        ("after_link", 1, False),
        ("after_dirsync", 1, False),
        ("before_image_commit", 1, False),
        ("after_image_commit", 0, True),
    ],
)
def test_a_crash_in_an_upload_loses_nothing_and_its_repeat_makes_one_image(
    server: Server, point: str, left: int, committed: bool
) -> None:
    ann, ben = start_to_die(server, point)
    told, pictures = Told(), [jpeg(40_000), jpeg(50_000)]
    first = accepted(told, ann.send(ben, pictures[0]), pictures[0])
    with pytest.raises(BROKEN):
        ann.send(ben, pictures[1], headers={"Idempotency-Key": "again"})
    expect_death(server)
    check_database(server.data_dir, in_flight=1)
    assert len(orphans(server.data_dir)) == left

    server.start()
    assert len(inbox(ben)) == 1 + committed
    again = ann.send(ben, pictures[1], headers={"Idempotency-Key": "again"})
    assert inbox(ben) == [first, accepted(told, again, pictures[1])]
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    end_well(server, ben, told)


@pytest.mark.parametrize(
    ("point", "state"), [("before_consumption_commit", "pending"), ("after_consumption_commit", "consumed")]
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_crash_in_a_consumption_loses_nothing_and_consumes_at_most_once(
    server: Server, method: str, point: str, state: str
) -> None:
    ann, ben = start_to_die(server, point)
    told, pictures = Told(), [jpeg(40_000), jpeg(50_000)]
    first, second = [accepted(told, ann.send(ben, picture), picture) for picture in pictures]
    acknowledge(told, ben, first)
    if method == "GET":
        assert ben.get(second).content == pictures[1]
    else:
        with pytest.raises(BROKEN):
            ben.request("DELETE", f"/v1/images/{second}")
    expect_death(server)
    check_database(server.data_dir)

    server.start()
    assert ann.status(second)["state"] == state
    if method == "GET" or state == "pending":
        assert ben.get(second, params={"ack": "manual"}).content == pictures[1]
    acknowledge(told, ben, second)
    assert consumptions(server.data_dir, second) == 1
    end_well(server, ben, told)


@pytest.mark.parametrize("point", ["before_unlink", "after_unlink", "before_mark_removed"])
def test_a_crash_in_a_removal_brings_nothing_back(server: Server, point: str) -> None:
    ann, ben = start_to_die(server, point)
    told, pictures = Told(), [jpeg(40_000), jpeg(50_000), jpeg(60_000)]
    first, second, third = [accepted(told, ann.send(ben, picture), picture) for picture in pictures]
    acknowledge(told, ben, first)
    wait_until(lambda: rows(server.data_dir, "SELECT count(*) FROM messages WHERE stored = 1") == [(2,)])
    acknowledge(told, ben, second)
    expect_death(server)
    check_database(server.data_dir)
    assert len(server.stored_files()) == 1 + (point == "before_unlink")

    server.start()
    wait_until(lambda: [path.name for path in server.stored_files()] == [third], what="the removal")
    # Where several servers may share a database, the dead one is waited for before another takes its work.
    wait_until(lambda: rows(server.data_dir, KEPT) == [(third,)], what="the end of its row")
    end_well(server, ben, told)


@pytest.mark.parametrize(("point", "times"), [("before_push", 1), ("after_push", 2)])
def test_a_crash_around_a_push_sends_it_again_the_same(server: Server, point: str, times: int) -> None:
    ann, ben = start_to_die(server, point)
    told, pictures = Told(), [jpeg(40_000), jpeg(50_000)]
    accepted(told, ann.send(ben, pictures[0]), pictures[0])
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the first push")
    second = accepted(told, ann.send(ben, pictures[1]), pictures[1])
    expect_death(server)
    check_database(server.data_dir)

    server.start()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the push")
    _, *pushes = logged_pushes(server.data_dir)
    assert pushes == pushes[:1] * times
    assert pushes[0]["message_key"] == second
    end_well(server, ben, told)


class Crowd:
    """Writers who ask again until they are answered. Every third image they fetch and acknowledge."""

    def __init__(self, server: Server) -> None:
        self.ann, self.ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        self.told = Told()
        self.asked_again = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def write(self, writer: int) -> None:
        """Send images until it is over, and see the last one through."""
        number = 0
        while not self.over.is_set():
            picture = jpeg(random.randint(10_000, 200_000))
            headers = {"Idempotency-Key": f"{writer}-{number}"}
            sent = until_answered(partial(self.ann.send, self.ben, picture, headers=headers), self._count)
            with self._lock:
                key = accepted(self.told, sent, picture)
            if number % 3 == 0:
                gone = until_answered(partial(self.ben.request, "DELETE", f"/v1/images/{key}"), self._count)
                assert gone.status_code == 204, gone.text
                with self._lock:
                    self.told.acknowledged.add(key)
            number += 1

    def _count(self) -> None:
        with self._lock:
            self.asked_again += 1

    def made_progress(self, goal: int) -> bool:
        return len(self.told.accepted) >= goal


def kill_again_and_again(server: Server, crowd: Crowd) -> None:
    left = 0
    for _ in range(KILLS[server.database.name]):
        goal = len(crowd.told.accepted) + random.randint(20, 60)
        wait_until(partial(crowd.made_progress, goal), what="progress")
        server.kill()
        check_database(server.data_dir, in_flight=left + WRITERS)
        left = len(orphans(server.data_dir))
        server.start()
    crowd.over.set()


def test_a_server_killed_again_and_again_loses_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.start()
    crowd = Crowd(server)
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(crowd.write, writer) for writer in range(WRITERS)]
        try:
            kill_again_and_again(server, crowd)
        finally:
            crowd.over.set()
    for writer in writing:
        writer.result()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    told, left = crowd.told, len(orphans(server.data_dir))
    sent, pushed = len(told.accepted), len(logged_pushes(server.data_dir))
    end_well(server, crowd.ben, told)
    with capsys.disabled():
        print(
            f"\n{server.database.name}: {KILLS[server.database.name]} kills under {WRITERS} writers:"
            f" {sent} images accepted, {len(told.acknowledged)} acknowledged,"
            f" {crowd.asked_again} requests asked again, {left} orphans swept, {pushed} pushes, 0 lost"
        )
