# SPDX-License-Identifier: Apache-2.0
"""A restore: into what, beside whom, from which backup, and cut off."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from models.db.database import SKIPPED_IDS
from ops.backup import backup
from ops.restore import restore
from tests.ops.backups import take_another_ring, vouch
from tests.ops.commands import asked, invoke, refused
from tests.support import PATIENCE, ROOT
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running
from tests.support.pictures import png

pytestmark = ON_SQLITE


@pytest.fixture(scope="module")
def people(server: Server) -> tuple[Person, Person, str]:
    """Ann, Ben, and the key of an image that waits for Ben."""
    ann, ben = server.register("Ann"), server.register("Ben")
    return ann, ben, ann.send(ben, png(4, 4)).headers["message-key"]


@pytest.fixture
def saved(server: Server, people: tuple[Person, Person, str], tmp_path: Path) -> Path:
    assert people
    asked(backup, server.data_dir, tmp_path / "backup", "--with-images")
    return tmp_path / "backup"


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "server.lock"}


def test_nothing_is_restored_under_a_running_server_and_no_second_one_starts(server: Server, saved: Path) -> None:
    assert "is in use by process" in refused(restore, server.data_dir, saved, "--force")
    assert server.process
    assert str(server.process.pid) in refused(restore, server.data_dir, saved, "--force")
    command = [sys.executable, "server.py", "--port", "0", "--data-dir", str(server.data_dir)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (1, "", 1)
    assert "is in use by process" in second.stderr
    assert server.client.get("/readyz").status_code == 200


def test_a_directory_that_holds_something_is_set_aside_on_demand_only(
    saved: Path, people: tuple[Person, Person, str], stopped: Path, tmp_path: Path
) -> None:
    ann, ben, key = people
    (stopped / "glimpse.db-wal").write_bytes(b"what a server that was killed leaves")
    before = listing(stopped)
    assert "is not empty" in refused(restore, stopped, saved)
    assert listing(stopped) == before
    done = asked(restore, stopped, saved, "--force")
    assert len(done["set_aside"]) == 4
    for path in done["set_aside"]:
        name, _, rest = path.partition(".before-")
        assert Path(path).read_bytes() == before[name + rest.lstrip("0123456789")]
    with running(tmp_path) as again:
        assert replace(ben, server=again).get(key).content == png(4, 4)
        assert replace(ann, server=again).request("GET", "/v1/me").status_code == 200


def test_images_that_are_there_stay(saved: Path, tmp_path: Path) -> None:
    shutil.rmtree(saved / "images")
    data_dir = tmp_path / "data"
    told = asked(restore, data_dir, saved, status=1)
    assert (told["images"], told["present"], told["missing"]) == (0, 0, 1)
    lone = data_dir / "images" / "ab"
    lone.mkdir()
    (lone / "kept").touch()
    asked(restore, data_dir, saved, "--force", status=1)
    assert (lone / "kept").exists()


def test_a_damaged_image_is_not_restored(saved: Path, tmp_path: Path) -> None:
    [image] = [path for path in (saved / "images").rglob("*") if path.is_file()]
    image.unlink()
    image.write_bytes(png(4, 5))
    told = asked(restore, tmp_path / "data", saved, status=1)
    assert (told["images"], told["damaged"]) == (0, 1)
    assert [path for path in (tmp_path / "data" / "images").rglob("*") if path.is_file()] == []


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "glimpse.db").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "glimpse.db").write_bytes(data)


def wreck_a_page(folder: Path) -> None:
    data = bytearray((folder / "glimpse.db").read_bytes())
    data[4096:8192] = bytes(4096)
    (folder / "glimpse.db").write_bytes(data)
    vouch(folder)


def make_newer(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "glimpse.db"))
    connection.execute("INSERT INTO migrations VALUES (9999, 0)")
    connection.close()
    vouch(folder)


def forget_the_ring(folder: Path) -> None:
    (folder / "keys.json").unlink()


def link_the_ring(folder: Path) -> None:
    (folder / "keys.json").rename(folder / "elsewhere")
    (folder / "keys.json").symlink_to("elsewhere")


def garble_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1, "files": []}')


def come_from_the_future(folder: Path) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, "format": 2}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flip_a_byte, "is not what the manifest says"),
        (wreck_a_page, "the database"),
        (make_newer, "newer version"),
        (take_another_ring, "not the key ring"),
        (forget_the_ring, "keys.json: No such file"),
        (link_the_ring, "keys.json: Too many levels"),
        (garble_the_manifest, "is damaged"),
        (come_from_the_future, "a format that this version does not know"),
    ],
)
def test_a_backup_that_is_not_right_leaves_everything_as_it_was(
    saved: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    data_dir = tmp_path / "data"
    asked(restore, data_dir, saved)
    before = listing(data_dir)
    spoil(saved)
    assert words in refused(restore, data_dir, saved, "--force")
    assert listing(data_dir) == before


def test_after_a_restore_that_was_cut_off_no_server_starts_before_one_has_ended(
    saved: Path, people: tuple[Person, Person, str], tmp_path: Path
) -> None:
    other = Server(tmp_path)
    asked(restore, other.data_dir, saved)
    command = [sys.executable, "-m", "ops", "restore", str(saved), "--force", "--data-dir", str(other.data_dir)]
    cut = {**os.environ, "GLIMPSE_FAULT": "set_aside"}
    assert subprocess.run(command, cwd=ROOT, env=cut, check=False, timeout=PATIENCE).returncode < 0
    assert not (other.data_dir / "glimpse.db").exists()
    start = [sys.executable, "server.py", "--port", "0", "--data-dir", str(other.data_dir)]
    refusal = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (refusal.returncode, "was cut off: run it again with --force" in refusal.stderr) == (1, True)
    assert not (other.data_dir / "glimpse.db").exists()
    asked(restore, other.data_dir, saved, "--force")
    assert not list(other.data_dir.glob("*restoring*"))
    other.start()
    assert replace(people[1], server=other).request("GET", "/v1/me").status_code == 200
    assert other.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_restore_as_another_user_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 12345, 12345)
    assert "belongs to user 12345" in refused(restore, tmp_path / "data", saved)


def test_a_person_reads_what_came_of_it(saved: Path, tmp_path: Path) -> None:
    assert "1 images added, 0 were there" in invoke(restore, tmp_path / "data", saved).stdout
    again = invoke(restore, tmp_path / "data", saved, "--force").stdout
    assert again.count("set aside: ") == 3
    assert "0 images added, 1 were there" in again


def test_no_phone_meets_an_event_id_that_it_knows(
    saved: Path, people: tuple[Person, Person, str], tmp_path: Path
) -> None:
    asked(restore, tmp_path / "data", saved)
    ben = people[1].uid
    before, after = (event_seq(folder, ben) for folder in (saved, tmp_path / "data"))
    assert (before, after) == (1, 1 + SKIPPED_IDS)


def event_seq(folder: Path, uid: int) -> int:
    connection = apsw.Connection(str(folder / "glimpse.db"))
    try:
        rows: list[Any] = connection.execute("SELECT event_seq FROM users WHERE uid = ?", (uid,)).fetchall()
        return int(rows[0][0])
    finally:
        connection.close()
