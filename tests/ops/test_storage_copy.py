# SPDX-License-Identifier: Apache-2.0
"""A server's images move from the disk to a bucket and back, and none is lost or changed on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.audit import audit
from ops.storage import storage
from tests.ops.commands import asked
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg, png
from tests.support.seaweed import Seaweed, as_config

pytestmark = ON_SQLITE

PICTURES = [jpeg(30_000 * number) for number in range(1, 5)]


@pytest.fixture
def settings(seaweed: Seaweed) -> dict[str, Any]:
    """Of a server on the disk that has a bucket beside it."""
    return {"storage": {**as_config(seaweed.settings()), "kind": "disk"}, "limits": {"enabled": False}}


def copy(server: Server, kind: str, status: int = 0) -> dict[str, int]:
    words = ["copy", "--to", kind, "--config", str(server.config), "--data-dir", str(server.data_dir), "--json"]
    result = CliRunner().invoke(storage, words)
    assert result.exit_code == status, result.output
    found: dict[str, int] = json.loads(result.stdout)
    return found


def use(server: Server, kind: str) -> None:
    """The server that is stopped has its images there from its next start on."""
    settings = json.loads(server.config.read_text())
    settings["storage"]["kind"] = kind
    server.config.write_text(json.dumps(settings))


def send(sender: Person, receiver: Person, picture: bytes) -> str:
    return sender.send(receiver, picture, thumbnail=png(8, 8)).headers["Message-Key"]


def image_files(server: Server) -> list[Path]:
    return [path for path in server.stored_files() if len(path.name.removesuffix(".t")) == 64]


def test_images_move_to_a_bucket_and_back_while_the_server_runs(tmp_path: Path, settings: dict[str, Any]) -> None:
    with running(tmp_path, settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        sent = {send(ann, ben, picture): picture for picture in PICTURES[:2]}
        assert copy(server, "s3")["copied"] == 4
        sent |= {send(ann, ben, picture): picture for picture in PICTURES[2:]}
        assert server.stop() == 0
    rest = copy(server, "s3")
    assert (rest["copied"], rest["present"], rest["missing"], rest["damaged"]) == (4, 4, 0, 0)
    for path in image_files(server):
        path.unlink()
    use(server, "s3")
    server.start()
    for key, picture in sent.items():
        assert ben.get(key, params={"ack": "manual"}).content == picture
        assert ben.request("GET", f"/v1/images/{key}/thumbnail").content == png(8, 8)
    assert copy(server, "disk")["copied"] == 8
    assert server.stop() == 0
    use(server, "disk")
    server.start()
    assert all(ben.get(key).content == picture for key, picture in sent.items())
    acts = asked(audit, server.data_dir)["acts"]
    assert [(act["act"], act["about"]) for act in acts] == [
        ("storage copy", f"to {kind}") for kind in ("disk", "s3", "s3")
    ]
    assert (server.stop(), server.failures()) == (0, [])


def test_what_is_lost_or_damaged_is_told_and_not_copied(tmp_path: Path, settings: dict[str, Any]) -> None:
    with running(tmp_path, settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        lost, wrong = send(ann, ben, PICTURES[0]), send(ann, ben, PICTURES[1])
    there = {path.name: path for path in image_files(server)}
    there[lost].unlink()
    there[wrong].write_bytes(PICTURES[2])
    found = copy(server, "s3", status=1)
    assert (found["copied"], found["missing"], found["damaged"]) == (2, 1, 1)
    assert copy(server, "s3", status=1)["copied"] == 0


def test_without_a_bucket_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(storage, ["copy", "--to", "s3", "--data-dir", str(tmp_path)])
    assert (result.exit_code, "storage.s3.bucket is not given" in result.stderr) == (2, True)
