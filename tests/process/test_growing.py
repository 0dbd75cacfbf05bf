# SPDX-License-Identifier: Apache-2.0
"""From one machine with its images on a disk to three with a bucket, and back, as docs/scaling.md has it: no image is
lost.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.storage import storage
from tests.process.test_uploads import begin, send_piece, send_whole
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, Engine
from tests.support.harness import Person, Server
from tests.support.pictures import jpeg
from tests.support.seaweed import Seaweed, as_config
from tests.support.wake_server import PROGRAM, WakeServer

pytestmark = [
    ON_MARIADB,
    NEEDS_MARIADBD,
    pytest.mark.skipif(PROGRAM is None, reason="no redis-server is installed (make test-deps)"),
]


@pytest.fixture
def wake_server() -> Iterator[WakeServer]:
    server = WakeServer()
    yield server
    server.close()


def change(server: Server, **sections: Any) -> None:
    """Edit the server's configuration."""
    server.config.write_text(json.dumps({**json.loads(server.config.read_text()), **sections}))


def copied(server: Server, to: str) -> None:
    words = ["copy", "--to", to, "--config", str(server.config), "--data-dir", str(server.data_dir)]
    result = CliRunner().invoke(storage, words)
    assert result.exit_code == 0, result.output


def moved(server: Server, kind: str, **sections: Any) -> None:
    """Copy beside the running server, stop it, copy what has come since, and start it with its images there."""
    copied(server, kind)
    assert server.stop() == 0
    copied(server, kind)
    s3 = json.loads(server.config.read_text())["storage"]["s3"]
    change(server, storage={"kind": kind, "s3": s3, "min_free_bytes": 1}, **sections)
    server.start()


def at(server: Server, person: Person) -> Person:
    return replace(person, server=server)


def test_no_image_is_lost_on_the_way_from_one_machine_to_three_and_back(
    tmp_path: Path, engine: Engine, seaweed: Seaweed, wake_server: WakeServer
) -> None:
    s3 = as_config(seaweed.settings())["s3"]
    alone = {"storage": {"kind": "disk", "s3": s3, "min_free_bytes": 1}, "limits": {"enabled": False}}
    first = Server(tmp_path, alone).start()
    others: list[Server] = []
    try:
        ann, ben = first.register("Ann"), first.register("Ben", cid="ben")
        pictures: dict[str, bytes] = {}

        def send(server: Server) -> None:
            picture = jpeg(50_000 + len(pictures))
            pictures[at(server, ann).send(ben, picture).headers["Message-Key"]] = picture

        send(first)
        moved(first, "s3", wake=wake_server.settings["wake"])
        send(first)
        for name in ("second", "third"):
            (tmp_path / name / "data").mkdir(0o700, parents=True)
            for file in ("keys.json", "vapid.pem"):
                (tmp_path / name / "data" / file).symlink_to(first.data_dir / file)
            other = Server(tmp_path / name)
            other.config.write_text(first.config.read_text())
            change(other, database={"url": engine.url})
            others.append(other.start())
        for server in others:
            send(server)
        in_pieces, once = jpeg(70_000), {"Idempotency-Key": "once"}
        upload, late = (
            begin(at(others[0], ann), len(in_pieces), said, receiver_uid=ben.uid).headers["Location"]
            for said in ({}, once)
        )
        for each in (upload, late):
            assert send_piece(at(others[0], ann), each, 0, in_pieces[:20_000]).status_code == 204
        assert send_piece(at(others[1], ann), upload, 20_000, in_pieces[20_000:40_000]).status_code == 204
        assert send_piece(at(first, ann), upload, 40_000, in_pieces[40_000:]).status_code == 204
        machines = (first, *others)
        for key, picture in pictures.items():
            assert [at(each, ben).get(key, params={"ack": "manual"}).content for each in (first, *others)] == [
                picture
            ] * 3
        assert [other.stop() for other in others] == [0, 0]
        moved(first, "disk", wake={"url": ""})
        astray = send_piece(ann, late, 20_000, in_pieces[20_000:])
        assert (astray.status_code, astray.json()["code"]) == (404, "not_found"), "it begins anew, and loses nothing"
        anew = begin(ann, len(in_pieces), once, receiver_uid=ben.uid).headers["Location"]
        assert anew != late
        send_whole(ann, anew, in_pieces, 20_000)
        waiting = [item["message_key"] for item in ben.request("GET", "/v1/inbox").json()["items"]]
        assert {*pictures} < {*waiting}
        assert {key: ben.get(key).content for key in pictures} == pictures
        assert [ben.get(key).content for key in waiting if key not in pictures] == [in_pieces] * 2
        assert [line for each in machines for line in each.failures()] == []
    finally:
        for server in (first, *others):
            if server.process and server.process.poll() is None:
                server.stop()
