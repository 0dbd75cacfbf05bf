# SPDX-License-Identifier: Apache-2.0
"""A server that is killed at every boundary of an image's way, and a server that is killed again and again."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.process.invariants import (
    KEPT,
    Told,
    check_database,
    consumptions,
    end_well,
    inbox,
    logged_pushes,
    orphans,
    pushes_due,
    rows,
)
from tests.process.killing import killed_again_and_again
from tests.process.writers import SETTINGS
from tests.support.harness import BROKEN, Person, Server, wait_until
from tests.support.pictures import jpeg

pytestmark = pytest.mark.usefixtures("engine")

KILLS = {"sqlite": 8, "mariadb": 4}


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


def test_a_server_killed_again_and_again_loses_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    found = killed_again_and_again(server, KILLS[server.database.name])
    with capsys.disabled():
        print(f"\n{server.database.name}: {found}")
