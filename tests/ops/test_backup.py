# SPDX-License-Identifier: Apache-2.0
"""A backup made beside a server that takes images all the time, and what it refuses."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from models.keys import dump_key_ring, new_key_ring
from ops.backup import backup
from ops.fsck import fsck
from ops.reports import reports
from ops.restore import restore
from tests.ops.commands import asked, invoke, refused
from tests.ops.under_load import back_up_under_load, go_on_after_restore, send
from tests.support import PATIENCE, ROOT
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server, wait_until
from tests.support.pictures import png

pytestmark = ON_SQLITE


def test_what_was_accepted_before_a_backup_under_load_is_there_after_its_restore(tmp_path: Path) -> None:
    backed_up = back_up_under_load(tmp_path / "old", tmp_path / "backup")

    (tmp_path / "new").mkdir()
    done = asked(restore, tmp_path / "new" / "data", tmp_path / "backup")

    images = backed_up.made["images"]["files"]
    assert done == {"images": images, "present": 0, "missing": 0, "damaged": 0, "set_aside": []}
    assert asked(fsck, tmp_path / "new" / "data")["clean"]
    go_on_after_restore(tmp_path / "new", backed_up)


def test_a_backup_is_its_owners_alone_and_opens_where_nothing_can_be_written(server: Server, tmp_path: Path) -> None:
    send(server.register("Ann"), server.register("Ben"), png(1, 1))
    folder = tmp_path / "deep" / "backup"
    invoke(backup, server.data_dir, folder, "--with-images")
    everything = [folder, *folder.rglob("*")]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in everything if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in everything if path.is_dir()} == {0o700}
    assert {path.name for path in folder.iterdir()} == {
        "glimpse.db",
        "keys.json",
        "vapid.pem",
        "manifest.json",
        "images",
    }
    header = (folder / "glimpse.db").read_bytes()[18:20]
    assert header == b"\1\1", "the database still wants a log beside it: https://www.sqlite.org/fileformat.html"


def test_images_are_links_where_they_can_be_and_copies_elsewhere(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = send(server.register("Ann"), server.register("Ben"), png(9, 9))
    path = Path("images", key[:2], key[2:4], key)
    asked(backup, server.data_dir, tmp_path / "linked", "--with-images")
    assert (tmp_path / "linked" / path).samefile(server.data_dir / path)

    def other_disk(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    asked(backup, server.data_dir, tmp_path / "copied", "--with-images")
    assert not (tmp_path / "copied" / path).samefile(server.data_dir / path)
    assert (tmp_path / "copied" / path).read_bytes() == png(9, 9)


def test_an_image_that_went_meanwhile_is_counted_and_its_row_is_for_fsck(stopped: Path, tmp_path: Path) -> None:
    [image] = [path for path in (stopped / "images").rglob("*") if path.is_file()]
    image.unlink()
    made = asked(backup, stopped, tmp_path / "backup", "--with-images")
    assert (made["images"]["files"], made["images"]["gone"]) == (0, 1)
    again = tmp_path / "again"
    told = invoke(restore, again, tmp_path / "backup")
    assert (told.exit_code, "1 images are missing" in told.stderr, "fsck --repair" in told.stderr) == (1, True, True)
    assert asked(fsck, again, "--repair")["problems"]["missing_files"] == 1
    assert asked(fsck, again)["clean"]


def test_a_backup_goes_into_an_empty_folder_of_its_own(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not empty" in refused(backup, server.data_dir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert "there is no" in refused(backup, tmp_path, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_backup_with_a_key_ring_that_does_not_fit_is_none(stopped: Path, tmp_path: Path) -> None:
    (stopped / "keys.json").write_text(dump_key_ring(new_key_ring()))
    assert "not the key ring" in refused(backup, stopped, tmp_path / "backup")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_a_backup_that_was_cut_off_is_known_for_it(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    command = [sys.executable, "-m", "ops", "backup", str(folder), "--data-dir", str(server.data_dir)]
    environment = {**os.environ, "GLIMPSE_FAULT": "before_manifest"}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=PATIENCE).returncode < 0
    assert (folder / "glimpse.db").stat().st_size > 0
    assert "is no finished backup" in refused(restore, tmp_path / "data", folder)
    assert "is not empty" in refused(backup, server.data_dir, folder)


def test_the_manifest_says_what_is_in_the_backup(server: Server, tmp_path: Path) -> None:
    said = asked(backup, server.data_dir, tmp_path / "backup")
    assert said.pop("folder") == str(tmp_path / "backup")
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert manifest == {"format": 1, **said}
    assert (said["images"], said["files"]["glimpse.db"]["bytes"]) == (
        None,
        (tmp_path / "backup" / "glimpse.db").stat().st_size,
    )


def test_the_picture_of_a_report_is_in_the_backup(server: Server, tmp_path: Path) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    sent = ben.send(ann, png(7, 7))
    about = {"message_id": int(sent.headers["Message-Id"]), "reason": "rude"}
    report_id = ann.request("POST", "/v1/reports", json=about).json()["report_id"]
    assert ben.request("DELETE", f"/v1/images/{sent.headers['Message-Key']}").status_code == 204
    kept = "SELECT stored FROM messages WHERE message_key = ?"
    wait_until(lambda: server.database.rows(kept, sent.headers["Message-Key"]) == [(0,)], what="the removal")
    asked(backup, server.data_dir, tmp_path / "backup", "--with-images")
    (tmp_path / "new").mkdir()
    assert asked(restore, tmp_path / "new" / "data", tmp_path / "backup")["missing"] == 0
    invoke(reports, tmp_path / "new" / "data", "show", report_id, "--picture", tmp_path / "shown")
    assert (tmp_path / "shown").read_bytes() == png(7, 7)
