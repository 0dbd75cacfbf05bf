# SPDX-License-Identifier: Apache-2.0
"""migrate, purge and fsck as an operator runs them: processes of their own, beside a server or without one."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner

from models.db.sqlite import migrate as migrations
from ops.fsck import fsck
from ops.migrate import migrate
from ops.purge import purge
from tests.services.maintenance.world import DAY, World, new_world
from tests.support import PATIENCE, ROOT
from tests.support.engines import database_of, environment_of
from tests.support.launcher import launch

pytestmark = pytest.mark.anyio


class Ended(NamedTuple):
    """What a process came to that has ended."""

    returncode: int
    stdout: str
    stderr: str


def _ops(data_dir: Path, *arguments: str, terminal: int | None = None) -> Ended:
    """`python -m ops` with these arguments; its stderr is a file, or the terminal."""
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", **environment_of(data_dir)}
    with TemporaryFile("w+") if terminal is None else os.fdopen(terminal, "w") as stderr:
        command = launch(
            "ops.__main__", [*arguments, "--data-dir", str(data_dir)], stderr=stderr, environment=environment
        )
        with command.stdout:
            stdout, code = command.stdout.read(), command.wait(PATIENCE)
        if terminal is None:
            stderr.seek(0)
        return Ended(code, stdout, stderr.read() if terminal is None else "")


def _json(result: Ended, status: int = 0) -> dict[str, Any]:
    assert (result.returncode, result.stderr) == (status, "")
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def _refusal(command: click.Command, data_dir: Path, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--data-dir", str(data_dir)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr


async def _arrange(data_dir: Path) -> None:
    """An image acknowledged and due to go, one that waits, and a file without a row."""
    async with new_world(data_dir, database_of(data_dir)) as world:
        world.clock.now = 1_700_000_000_000
        ann, ben = await world.person(), await world.person()
        await world.reading().acknowledge(ben, (await world.send(ann, ben)).key)
        world.execute("UPDATE messages SET send_time = ?", 2**52)
        await world.send(ann, ben, data=b"waits")
        world.execute("UPDATE messages SET send_time = ?, expires_at = ?", 2**52, 2**52)
        world.age(await world.file(), DAY)


def _files(data_dir: Path) -> int:
    return sum(path.is_file() for path in (data_dir / "images").rglob("*"))


@pytest.mark.usefixtures("engine")
async def test_purge_says_what_would_go_and_then_what_went(tmp_path: Path) -> None:
    await _arrange(tmp_path)
    planned = _json(_ops(tmp_path, "purge", "--dry-run", "--json"))
    assert (planned["dry_run"], planned["removed"]["files"], planned["removed"]["events"]) == (True, 1, 3)
    assert _files(tmp_path) == 3
    done = _json(_ops(tmp_path, "purge", "--json"))
    assert (done["dry_run"], done["failed"]) == (False, [])
    assert {name: done["removed"][name] for name in planned["removed"]} == planned["removed"]
    assert _files(tmp_path) == 2
    assert "files: 0 removed" in _ops(tmp_path, "purge").stdout


@pytest.mark.usefixtures("engine")
async def test_fsck_reports_repairs_and_is_content(tmp_path: Path) -> None:
    await _arrange(tmp_path)
    found = _json(_ops(tmp_path, "fsck", "--json"), status=1)
    assert (found["clean"], found["left"], found["problems"]["orphan_files"], found["repaired"]) == (False, 1, 1, {})
    assert "Problems left: 1." in _ops(tmp_path, "fsck").stdout
    plain = _ops(tmp_path, "fsck", "--repair")
    assert plain.returncode == 0
    assert re.search(r"^orphan_files: 1 found, 1 mended; for example file [0-9a-f]{64}$", plain.stdout, re.MULTILINE)
    assert plain.stdout.endswith("All that was found is mended.\n")
    clean = _json(_ops(tmp_path, "fsck", "--json"))
    assert (clean["clean"], clean["images"]) == (True, 2)


def test_migrate_says_what_it_would_do_then_does_it_once(tmp_path: Path) -> None:
    planned = _ops(tmp_path, "migrate", "--dry-run")
    assert (planned.returncode, "to do: 0001_init" in planned.stdout) == (0, True)
    assert not (tmp_path / "glimpse.db").exists()
    done = _ops(tmp_path, "migrate")
    assert (done.returncode, "done: 0001_init" in done.stdout) == (0, True)
    assert "There is nothing to do." in _ops(tmp_path, "migrate").stdout


@pytest.mark.parametrize("command", [purge, fsck])
def test_a_missing_database_is_said_in_one_line(tmp_path: Path, command: click.Command) -> None:
    assert f"there is no database at {tmp_path}" in _refusal(command, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_no_directory(tmp_path: Path) -> None:
    assert "there is no directory" in _refusal(migrate, tmp_path / "typo")


@pytest.mark.parametrize("command", [migrate, purge, fsck])
def test_a_newer_schema_a_broken_file_and_wrong_settings_are_said_in_one_line(
    tmp_path: Path, command: click.Command
) -> None:
    database = database_of(tmp_path)
    database.migrate()
    database.execute("INSERT INTO migrations VALUES (9999, 0)")
    assert "newer version" in _refusal(command, tmp_path)
    (tmp_path / "glimpse.db").write_bytes(b"not a database" * 100)
    assert "not a database" in _refusal(command, tmp_path)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("events: {retention_day: 7}")
    assert "events.retention_day" in _refusal(command, tmp_path, "--config", str(wrong))


def test_a_database_without_its_images_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "glimpse.db").touch()
    assert "python -m ops migrate" in _refusal(fsck, tmp_path)
    migrations.run(tmp_path / "glimpse.db")
    assert "is its disk mounted?" in _refusal(fsck, tmp_path, "--repair")
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.usefixtures("engine")
async def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    await _arrange(tmp_path)
    master, slave = pty.openpty()
    result = _ops(tmp_path, "purge", "--json", terminal=slave)
    shown = b""
    with suppress(OSError):  # the end of what a terminal shows that no program has any more
        while more := os.read(master, 65536):
            shown += more
    os.close(master)
    assert b"Removing" in shown
    assert json.loads(result.stdout)["failed"] == []


MANY = 50
SERVER = f"""
import asyncio, signal, sys, time
from pathlib import Path
from tests.support.engines import engine_at
from tests.services.maintenance.world import new_world

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with new_world(Path(sys.argv[1]), engine_at(sys.argv[2])) as world:
        world.clock.now = time.time_ns() // 1_000_000
        ann, ben = await world.person(), await world.person()
        print("ready", flush=True)
        sent = 0
        while sent < {MANY} or not stopping.is_set():
            image = await world.send(ann, ben)
            sent += 1
            if sent % 2:
                await world.reading().acknowledge(ben, image.key)
    print(sent, flush=True)

asyncio.run(main())
"""


@pytest.mark.usefixtures("engine")
async def test_the_commands_run_beside_a_server_that_writes_all_the_time(tmp_path: Path) -> None:
    database = database_of(tmp_path)
    database.migrate()
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(tmp_path), database.url),
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout
    assert await server.stdout.readline() == b"ready\n"
    assert _json(await asyncio.to_thread(_ops, tmp_path, "purge", "--json"))["failed"] == []
    assert _json(await asyncio.to_thread(_ops, tmp_path, "fsck", "--repair", "--json"))["clean"]
    assert (await asyncio.to_thread(_ops, tmp_path, "migrate")).returncode == 0
    server.send_signal(signal.SIGTERM)
    out, _ = await server.communicate()
    assert server.returncode == 0
    assert int(out) >= MANY
    await _expect_the_even_half(tmp_path, int(out))


async def _expect_the_even_half(data_dir: Path, sent: int) -> None:
    """Of the images sent, those that were not acknowledged are there, all others are gone after a last purge."""
    _json(_ops(data_dir, "purge", "--json"))
    assert _files(data_dir) == sent // 2
    async with new_world(data_dir, database_of(data_dir)) as world:
        assert (await _report(world)) == (True, sent // 2)


async def _report(world: World) -> tuple[bool, int]:
    report = await world.fsck()
    return report.clean, report.images
