# SPDX-License-Identifier: Apache-2.0
"""Each client library, put through the table of behaviour against a real server behind a bad line."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from glimpse_client import AsyncClient, Client

from tests.clients.behaviour import (
    BEN_HAS_AN_IMAGE,
    BEN_HAS_AN_OLD_LOG,
    BEN_HAS_LEFT,
    BEN_HAS_TEXTS,
    IMAGE,
    LARGE_BYTES,
    NOBODY,
    PICTURE_BYTES,
    SCENARIOS,
    TEXTS,
    UPLOAD,
    Scenario,
)
from tests.clients.drivers import node_client, python_client
from tests.support.bad_line import BadLine, bad_line
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, phone_number, running
from tests.support.pictures import jpeg

Run = Callable[[Mapping[str, Any]], list[dict[str, Any]]]
CLIENTS: dict[str, Run] = {
    "python": partial(python_client.run, Client),
    "python async": partial(python_client.run, AsyncClient),
    **({"node": node_client.run} if node_client.NODE else {}),
}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, engine_name: str) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "server": {"workers": 2 if engine_name == "mariadb" else 1}}
    with running(new_folder("behaviour"), settings) as server:
        yield server
        assert server.failures() == []


@dataclass
class World:
    """Ann, Ben, and what is there before a scenario begins."""

    server: Server
    folder: Path
    ann: Person
    ben: Person
    key: str = ""

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def caller(self, world: str) -> Person | None:
        return None if world == NOBODY else self.ben if "ben" in world else self.ann

    def names(self) -> dict[str, Any]:
        picture, other, no_picture = (self.folder / name for name in ("picture.jpg", "other.jpg", "words.txt"))
        picture.write_bytes(jpeg(PICTURE_BYTES))
        other.write_bytes(jpeg(PICTURE_BYTES))
        no_picture.write_text("words")
        (self.folder / "large.jpg").write_bytes(jpeg(LARGE_BYTES))
        number = phone_number()
        return {
            "$picture": str(picture),
            "$other_picture": str(other),
            "$large_picture": str(self.folder / "large.jpg"),
            "$no_picture": str(no_picture),
            "$nowhere": str(self.folder / "words.txt" / "below"),
            "$ben": self.ben.uid,
            "$key": self.key,
            "$number": f"+86{number}",
            "$login": f"person{number}",
        }

    def look(self) -> list[tuple[str, int]]:
        """What the client has under its final name."""
        return [(path.name, path.stat().st_size) for path in self.kept.iterdir() if path.suffix != ".part"]


def world_of(scenario: Scenario, server: Server, folder: Path) -> World:
    world = World(server, folder, server.register("Ann"), server.register("Ben"))
    world.kept.mkdir()
    if scenario.world == BEN_HAS_AN_IMAGE:
        world.key = world.ann.send(world.ben, jpeg(PICTURE_BYTES)).headers["Message-Key"]
    if scenario.world in (BEN_HAS_TEXTS, BEN_HAS_AN_OLD_LOG):
        for number in range(TEXTS):
            body = {"receiver_uid": world.ben.uid, "kind": "text", "text": f"text {number}"}
            assert world.ann.request("POST", "/v1/messages", json=body).status_code == 201
    if scenario.world == BEN_HAS_AN_OLD_LOG:
        server.database.execute("DELETE FROM events WHERE uid = ? AND event_id <= 3", world.ben.uid)
    if scenario.world == BEN_HAS_LEFT:
        assert world.ben.request("DELETE", "/v1/me").status_code == 204
    return world


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """With what the words with a dollar stand for."""
    if isinstance(value, Mapping):
        return {name: filled(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("run", CLIENTS.values(), ids=CLIENTS.keys())
def test_a_client_behaves(run: Run, scenario: Scenario, server: Server, tmp_path: Path) -> None:
    world = world_of(scenario, server, tmp_path)
    names, caller = world.names(), world.caller(scenario.world)
    with bad_line(server.port, scenario.faults, world.look) as line:
        task = {
            "url": f"http://127.0.0.1:{line.port}",
            "who": caller and {"uid": caller.uid, "phone_hash": caller.phone_hash, "ukey": caller.ukey},
            "folder": str(world.kept),
            "patience": scenario.patience,
            "silence": scenario.silence,
            "steps": [{"do": step.do, "given": filled(step.given, names)} for step in scenario.steps],
        }
        answers = run(json.loads(json.dumps(task)))
    for answer, expected in zip(answers, filled(list(scenario.expected.answers), names), strict=True):
        assert expected.items() <= answer.items(), answers
        assert "error" in expected or "status" in expected or "ok" in answer, answers
    check_requests(scenario, line)
    check_world(scenario, world, line)


def requests(line: BadLine, method: str, path: str) -> list[Any]:
    return [each for each in line.requests if each.method == method and re.fullmatch(path, each.path)]


def check_requests(scenario: Scenario, line: BadLine) -> None:
    expected = scenario.expected
    for (method, path), count in expected.requests.items():
        assert len(requests(line, method, path)) == count, line.requests
    if expected.one_key:
        keys = {each.headers.get("idempotency-key") for each in requests(line, *expected.one_key)}
        assert len(keys) == 1
        assert None not in keys
    if expected.ranges is not None:
        assert [each.headers.get("range", "") for each in requests(line, "GET", IMAGE)] == list(expected.ranges)
    pieces = [each.headers for each in requests(line, "PATCH", UPLOAD)]
    if expected.goes_on_at is not None:
        assert int(pieces[-1]["upload-offset"]) >= expected.goes_on_at
    if expected.uploaded is not None:
        assert sum(int(piece["content-length"]) for piece in pieces) <= expected.uploaded
    if expected.pause:
        method, path, least = expected.pause
        first, second, *_ = requests(line, method, path)
        assert second.at - first.at >= least


def check_world(scenario: Scenario, world: World, line: BadLine) -> None:
    expected = scenario.expected
    if expected.state:
        assert world.ann.status(world.key)["state"] == expected.state
    if expected.images is not None or expected.texts is not None:
        found = world.ben.request("GET", f"/v1/messages?with_uid={world.ann.uid}").json()["items"]
        assert [each["kind"] for each in found] == ["image"] * (expected.images or 0) + ["text"] * (expected.texts or 0)
    if expected.safe_at_delete:
        told = requests(line, "DELETE", IMAGE)[0]
        assert told.seen == [(f"{world.key}.jpg", PICTURE_BYTES)]
    if expected.left is not None:
        assert len(list(world.kept.iterdir())) == expected.left
