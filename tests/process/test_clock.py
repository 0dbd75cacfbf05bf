# SPDX-License-Identifier: Apache-2.0
"""The real server under a wall clock that jumps. libfaketime moves it, but not the clocks that nobody can set."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import FAKETIME
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, errors, wait_until
from tests.support.pictures import png

NUMBER, CODE = "13800138000", "123456"
SETTINGS: dict[str, Any] = {
    "retention": {"interval_seconds": 1},
    "limits": {"enabled": False},
    "activation": {"test_numbers": {f"+86{NUMBER}": CODE}},
}
JUMPS = ("+1h", "-1h", "+1d", "+1y", "-1y")
RIGHT = "+0"
PICTURE = png(3, 3)
TABLES = (
    "activations",
    "messages",
    "deliveries",
    "events",
    "credentials",
    "refresh_tokens",
    "devices",
    "outbox",
    "idempotency",
)

pytestmark = pytest.mark.skipif(FAKETIME is None, reason="no libfaketime is installed (make test-deps)")


class Set:
    """What a server's wall clock is off by, which may be set while it runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self(RIGHT)

    def __call__(self, off: str) -> None:
        fresh = self.file.with_suffix(".fresh")
        fresh.write_text(f"{off}\n")
        fresh.rename(self.file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def folder(new_folder: NewFolder) -> Path:
    return new_folder("clock")


@pytest.fixture
def clock(folder: Path) -> Set:
    return Set(folder / "clock")


@pytest.fixture
def server(folder: Path, clock: Set) -> Iterator[Server]:
    server = Server(folder, SETTINGS).start(**clock.environment)
    yield server
    server.stop()


def counts(server: Server) -> dict[str, int]:
    return {table: server.database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def look_around(ann: Person, ben: Person) -> None:
    """Retention has looked: an image that is acknowledged goes while all else waits."""
    key = ann.send(ben, PICTURE).headers["message-key"]
    assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
    wait_until(lambda: not any(path.name == key for path in ann.server.stored_files()), what="a removal")


def begin_retrieval(server: Server) -> str:
    """Of an account that is new, from another phone; where its code goes."""
    server.register("Cat", phone_num=NUMBER)
    body = {"region_num": "86", "phone_num": NUMBER, "nickname": "Cat"}
    reply = server.client.post("/v1/register", json=body)
    assert reply.status_code == 202, reply.text
    return f"/v1/activations/{reply.json()['activation_id']}"


def retrieves(server: Server, activation: str) -> bool:
    reply = server.client.post(activation, json={"code": CODE})
    return reply.status_code == 201 and reply.json()["retrieved"]


def jumps(server: Server) -> list[int]:
    found = [json.loads(line) for line in errors(server.log.read_text())]
    return [line["seconds"] for line in found if "clock has jumped" in line["event"]]


def test_while_it_runs_nothing_ends_by_a_clock_that_jumps(server: Server, clock: Set) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="ben")
    keys = [ann.send(ben, PICTURE, ttl_seconds="1800").headers["message-key"]]
    tokens, activation = ben.request("POST", "/v1/tokens").json(), begin_retrieval(server)
    for number, jump in enumerate(JUMPS, 1):
        clock(jump)
        wait_until(lambda: len(jumps(server)) == number, what="a line that says so")  # noqa: B023 - called here
        keys.append(ann.send(ben, PICTURE, ttl_seconds="1800").headers["message-key"])
        look_around(ann, ben)
        clock(RIGHT)
        wait_until(lambda: server.log.read_text().count("believed again") == number, what="its end")  # noqa: B023
    look_around(ann, ben)
    assert server.client.get("/readyz").status_code == 200
    fresh = server.client.post("/v1/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert fresh.status_code == 200, fresh.text
    assert retrieves(server, activation)
    assert [ben.get(key).status_code for key in keys] == [200] * len(keys)


def test_starts_with_a_wrong_clock_end_nothing(folder: Path, clock: Set) -> None:
    server = Server(folder, SETTINGS).start(**clock.environment)
    ann, ben = server.register("Ann"), server.register("Ben", cid="ben")
    key = ann.send(ben, PICTURE, ttl_seconds="1800", headers={"Idempotency-Key": "one"}).headers["message-key"]
    activation = begin_retrieval(server)
    before = counts(server)
    server.stop()
    for number, jump in enumerate(JUMPS, 1):
        clock(jump)
        server.start(**clock.environment)
        assert len(jumps(server)) == number
        look_around(ann, ben)
        server.stop()
    clock(RIGHT)
    server.start(**clock.environment)
    assert all(count >= before[table] for table, count in counts(server).items())
    assert ben.get(key).status_code == 200
    assert retrieves(server, activation)
    server.stop()
