# SPDX-License-Identifier: Apache-2.0
"""A disk or a database file that cannot be written to: what reads goes on, the rest is told so, and nothing is lost."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ops.doctor import doctor
from tests.ops.commands import asked
from tests.process.test_start import refused
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running, wait_until
from tests.support.loop_disk import LoopDisk, loop_disk, what_is_missing
from tests.support.mounting import need, small_disk
from tests.support.pictures import png

PICTURE = png(3, 3)
UNREADY = {"database", "storage"}
TOLD = {"the disk failed", "the database failed", "retention failed"}
"""What the log says at level error, of each with the reason."""

pytestmark = ON_SQLITE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    """The disk of `tmp_path / "data"`."""
    need(what_is_missing())
    with loop_disk(tmp_path) as disk:
        (tmp_path / "data").symlink_to(disk.path)
        yield disk


@contextmanager
def immutable(files: list[Path]) -> Iterator[None]:
    """Files that nobody may write to for the length of a block, not even root, and who has them open neither."""

    def change(how: str) -> str:
        return subprocess.run(["chattr", how, *files], capture_output=True, text=True, check=False).stderr

    need(change("+i"))
    try:
        yield
    finally:
        assert change("-i") == ""


def test_a_test_without_its_disk_is_left_out_by_name_and_a_missing_program_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for options, reason in (("no-such-option=1", "mounts are refused"), ("size=1m", "mount is not installed")):
        with pytest.raises(pytest.skip.Exception, match=f"^{reason}$"), small_disk(tmp_path, options):
            pass
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="mount is not installed"), small_disk(tmp_path, "size=1m"):
        pass


def writes(ann: Person, ben: Person, key: str) -> list[httpx.Response]:
    """The answers to what writes: sending, saying, acknowledging, blocking, registering."""
    said = {"receiver_uid": ben.uid, "kind": "text", "text": "hello"}
    newcomer = {"region_num": "86", "phone_num": "13800000000", "nickname": "Cat"}
    return [
        ann.send(ben, PICTURE),
        ann.request("POST", "/v1/messages", json=said),
        ben.request("DELETE", f"/v1/images/{key}"),
        ben.request("PUT", f"/v1/blocks/{ann.uid}"),
        ann.server.client.post("/v1/register", json=newcomer),
    ]


def check_reads(ann: Person, ben: Person, key: str) -> None:
    """What needs no write is answered, and an image is handed out as it was sent."""
    assert key in {item["message_key"] for item in ben.request("GET", "/v1/inbox").json()["items"]}
    assert ben.get(key).content == PICTURE
    assert ben.get(key, params={"ack": "manual"}).content == PICTURE
    assert ann.status(key)["state"] == "pending"
    for path in ("/v1/me", "/v1/conversations", "/v1/friends", "/v1/events"):
        assert ben.request("GET", path).status_code == 200
    assert ann.server.client.get("/healthz").status_code == 200


def check_refusals(ann: Person, ben: Person, key: str) -> None:
    """What writes is refused with the same code each time, and whoever watches is told what fails."""
    for _ in range(2):
        refusals = writes(ann, ben, key)
        assert {(reply.status_code, reply.json()["code"]) for reply in refusals} == {(503, "unavailable")}
        assert all(int(reply.headers["retry-after"]) > 0 for reply in refusals)
        red = ann.server.client.get("/readyz")
        assert red.status_code == 503
        assert "database" in red.json()["failing"]
        assert set(red.json()["failing"]) <= UNREADY


def check_log(server: Server, reason: str) -> None:
    """The log names the reason, in lines and not in tracebacks."""
    lines = [json.loads(line) for line in server.failures()]
    assert {line["event"] for line in lines} <= TOLD
    assert [line for line in lines if reason in line.get("cause", "")]


def test_a_server_whose_disk_becomes_read_only_serves_what_reads_and_keeps_what_it_accepted(
    tmp_path: Path, disk: LoopDisk
) -> None:
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        key = ann.send(ben, PICTURE).headers["message-key"]
        disk.become_read_only()
        check_refusals(ann, ben, key)
        check_reads(ann, ben, key)
        assert server.stop() == 0
        check_log(server, "Read-only file system")
        code, complaint = refused(server.data_dir)
        assert code == 2
        assert complaint == [
            f"Glimpse cannot start: data_dir: {server.data_dir} cannot be written to: Read-only file system"
        ]
        found = {each["name"]: each for each in asked(doctor, server.data_dir, status=1)["checks"]}
        assert "Read-only file system" in found["place"]["found"]
        wait_until(disk.repair, what="the disk for itself", pause=0.2)
        server.start()
        assert server.client.get("/readyz").status_code == 200
        assert ben.get(key).content == PICTURE
        assert all(reply.is_success for reply in writes(ann, ben, key))


def test_a_server_whose_database_may_not_be_written_gets_well_by_itself_when_it_may(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        key = ann.send(ben, PICTURE).headers["message-key"]
        # Not of the memory that its processes share: whoever maps that does not write to a disk.
        with immutable([file for file in server.database.files() if not file.name.endswith("-shm")]):
            check_refusals(ann, ben, key)
            check_reads(ann, ben, key)
        wait_until(lambda: server.client.get("/readyz").status_code == 200, what="readiness")
        assert all(reply.is_success for reply in writes(ann, ben, key))
        assert server.database.damages() == []
        check_log(server, "Operation not permitted")


def test_a_database_that_may_not_be_written_is_named_by_the_server_that_does_not_start(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.register("Ann")
    file = server.data_dir / "glimpse.db"
    with immutable([file]):
        code, complaint = refused(server.data_dir)
    assert code == 2
    reason = "the database cannot be opened: Operation not permitted"
    assert complaint == [f"Glimpse cannot start: database.url: {file}: {reason}"]
    server.start()
    server.register("Ben")
    server.stop()
