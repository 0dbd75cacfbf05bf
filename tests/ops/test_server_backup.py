# SPDX-License-Identifier: Apache-2.0
"""Backup and restore of a database on a server: what test_backup.py and test_restore.py promise of a SQLite file."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.backup import backup
from ops.doctor import doctor
from ops.fsck import fsck
from ops.restore import restore
from tests.ops.backups import take_another_ring, vouch
from tests.ops.commands import asked, refused
from tests.ops.under_load import back_up_under_load, go_on_after_restore
from tests.support import PATIENCE, ROOT
from tests.support.engines import ON_MARIADB, Engine, environment_of
from tests.support.harness import Server
from tests.support.mariadb import PASSWORD

pytestmark = ON_MARIADB


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "server.lock"}


def rows_of(database: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the database."""
    tables = [name for (name,) in database.rows("SHOW TABLES")]
    return {table: database.rows(f"SELECT * FROM `{table}`") for table in tables}


@pytest.fixture
def saved(used: Path, tmp_path: Path) -> Path:
    """A backup with one image that waits."""
    asked(backup, used, tmp_path / "backup", "--with-images")
    return tmp_path / "backup"


def test_what_was_accepted_before_a_backup_under_load_is_there_after_its_restore(
    tmp_path: Path, engine: Engine
) -> None:
    backed_up = back_up_under_load(tmp_path / "old", tmp_path / "backup", nickname="Ben \\' \U0001f600")

    (tmp_path / "new").mkdir()
    done = asked(restore, tmp_path / "new" / "data", tmp_path / "backup")

    assert (done["present"], done["missing"], done["damaged"], done["set_aside"]) == (0, 0, 0, [])
    assert len(backed_up.images) <= done["images"] <= backed_up.made["images"]["files"]
    assert asked(fsck, tmp_path / "new" / "data")["clean"]
    go_on_after_restore(tmp_path / "new", backed_up)
    assert engine.rows("SHOW TABLES") == []


def test_no_password_stands_on_a_command_line(used: Path, tmp_path: Path) -> None:
    for name in ("mariadb-dump", "mariadb"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/said\nenv >> {tmp_path}/said\nexec {shutil.which(name)} "$@"\n'
        )
        program.chmod(0o700)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for command, option, data_dir in (("backup", "--with-images", used), ("restore", "--force", tmp_path / "data")):
        environment = {"PATH": path, **environment_of(data_dir)}
        arguments = [
            sys.executable,
            "-m",
            "ops",
            command,
            str(tmp_path / "backup"),
            option,
            "--data-dir",
            str(data_dir),
        ]
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True, timeout=PATIENCE, capture_output=True)
    said = (tmp_path / "said").read_text()
    commands = [line for line in said.splitlines() if line.startswith(str(tmp_path))]
    assert [line.split()[0].rpartition("/")[2] for line in commands] == ["mariadb-dump", "mariadb"]
    assert PASSWORD not in "".join(commands)


def test_a_database_that_holds_something_is_set_aside_on_demand_only(
    saved: Path, stopped: Path, engine: Engine
) -> None:
    before, tables = listing(stopped), rows_of(engine)
    assert "is not empty" in refused(restore, stopped, saved)
    assert (listing(stopped), rows_of(engine)) == (before, tables)
    done = asked(restore, stopped, saved, "--force")
    aside = {name.removeprefix("table ") for name in done["set_aside"] if name.startswith("table ")}
    assert {name.partition("_")[2].partition("_")[2] for name in aside} == set(tables)
    now = rows_of(engine)
    for name in aside:
        assert now[name] == tables[name.partition("_")[2].partition("_")[2]]
    again = asked(backup, stopped, saved.parent / "again")
    assert "before_" not in (saved.parent / "again" / "glimpse.sql").read_text(errors="replace")
    assert set(again["files"]) == {"glimpse.sql", "keys.json", "vapid.pem"}


def test_nothing_is_restored_while_anybody_is_connected(
    saved: Path, stopped: Path, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Server(tmp_path / "elsewhere")
    other.config.write_text(json.dumps({"database": {"url": engine.url}}))
    shutil.copytree(stopped, other.data_dir)
    other.start()
    try:
        before = rows_of(engine)["users"]
        assert "stop every server first" in refused(restore, stopped, saved, "--force")
        assert rows_of(engine)["users"] == before
    finally:
        other.stop()


def test_after_a_restore_that_was_cut_off_no_server_starts_before_one_has_ended(
    saved: Path, stopped: Path, engine: Engine
) -> None:
    tables = rows_of(engine)
    command = [sys.executable, "-m", "ops", "restore", str(saved), "--force", "--data-dir", str(stopped)]
    environment = {**os.environ, **environment_of(stopped)}
    cut = {**environment, "GLIMPSE_FAULT": "set_aside"}
    assert subprocess.run(command, cwd=ROOT, env=cut, check=False, timeout=PATIENCE, capture_output=True).returncode < 0
    assert not set(tables) & set(rows_of(engine))
    start = [sys.executable, "server.py", "--port", "0", "--data-dir", str(stopped)]
    refusal = subprocess.run(
        start, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (refusal.returncode, "was cut off: run it again with --force" in refusal.stderr) == (1, True)
    asked(restore, stopped, saved, "--force")
    now = rows_of(engine)
    [(moment)] = {name.split("_")[1] for name in now if name.startswith("before_")}
    assert {name: now[f"before_{moment}_{name}"] for name in tables} == tables
    assert not list(stopped.glob("*restoring*"))
    assert asked(doctor, stopped)["healthy"]


def garble(folder: Path) -> None:
    file = folder / "glimpse.sql"
    file.write_text(file.read_text().replace("INSERT INTO `users`", "INSERT INTO `nobody`"))
    vouch(folder)


def cut_short(folder: Path) -> None:
    file = folder / "glimpse.sql"
    file.write_bytes(file.read_bytes()[:-100])


def come_from_a_newer_version(folder: Path) -> None:
    with (folder / "glimpse.sql").open("a") as file:
        file.write("INSERT INTO migrations (step, statement) VALUES (9999, 0);\n")
    vouch(folder)


def be_of_a_file(folder: Path) -> None:
    (folder / "glimpse.sql").rename(folder / "glimpse.db")
    document = json.loads((folder / "manifest.json").read_text())
    document["files"]["glimpse.db"] = document["files"].pop("glimpse.sql")
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (garble, "nobody"),
        (cut_short, "is not what the manifest says"),
        (come_from_a_newer_version, "newer version"),
        (take_another_ring, "not the key ring"),
        (be_of_a_file, "the backup is of a SQLite file, and database.url names a server"),
    ],
)
def test_a_backup_that_is_not_right_leaves_everything_as_it_was(
    saved: Path, stopped: Path, engine: Engine, spoil: Callable[[Path], None], words: str
) -> None:
    before, tables = listing(stopped), rows_of(engine)
    spoil(saved)
    assert words in refused(restore, stopped, saved, "--force")
    assert (listing(stopped), rows_of(engine)) == (before, tables)


def test_a_dump_that_fails_is_no_backup(stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mariadb-dump").write_text("#!/bin/sh\necho 'Got error: 2013: Lost connection' >&2\nexit 2\n")
    (tmp_path / "bin" / "mariadb-dump").chmod(0o700)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **environment_of(stopped)}
    command = [sys.executable, "-m", "ops", "backup", str(tmp_path / "backup"), "--data-dir", str(stopped)]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "Error: the database: mariadb-dump: Got error: 2013: Lost connection\n",
    )
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_a_restore_changes_the_ring_behind_a_link(saved: Path, stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    shared = tmp_path / "shared" / "keys.json"
    (stopped / "keys.json").rename(shared)
    (stopped / "keys.json").symlink_to(shared)
    asked(backup, stopped, tmp_path / "of-links")
    assert (tmp_path / "of-links" / "keys.json").read_bytes() == shared.read_bytes()
    asked(restore, stopped, saved, "--force")
    assert (stopped / "keys.json").readlink() == shared
    assert shared.read_bytes() == (saved / "keys.json").read_bytes()
    assert asked(doctor, stopped)["healthy"]
