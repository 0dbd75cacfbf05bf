# SPDX-License-Identifier: Apache-2.0
"""A server moves from its SQLite file to a database server and back, and nobody notices but by the stop."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.db.schema import metadata
from models.db.tables.whole_tables import OF_RUNNING_SERVERS, PAGE_ROWS
from ops.database import database
from tests.support import ROOT
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, Engine, SqliteEngine
from tests.support.harness import Server
from tests.support.pictures import jpeg, png

pytestmark = [ON_MARIADB, NEEDS_MARIADBD]

OWN_AFTERWARDS = {"audit": "act <> 'database copy'"}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """One on a SQLite file, which has run and been stopped."""
    settings = {"database": {"url": "sqlite:///{data_dir}/glimpse.db"}, "limits": {"enabled": False}}
    return Server(tmp_path, settings)


def words(server: Server, source: str = "") -> list[str]:
    place = ["--config", str(server.config), "--data-dir", str(server.data_dir)]
    return ["copy", "--from", source or str(server.data_dir / "glimpse.db"), *place]


def copied(server: Server, status: int = 0, source: str = "") -> Any:
    given = words(server, source)
    result = CliRunner().invoke(database, given if status else [*given, "--json"])
    assert result.exit_code == status, result.output
    return result.stderr if status else json.loads(result.stdout)["rows"]


def use(server: Server, url: str) -> None:
    server.config.write_text(json.dumps({**json.loads(server.config.read_text()), "database": {"url": url}}))


def rows(engine: Any, table: str) -> list[tuple[Any, ...]]:
    columns = ", ".join(column.name for column in metadata.tables[table].columns)
    condition = OWN_AFTERWARDS.get(table, "1 = 1")
    return sorted(engine.rows(f"SELECT {columns} FROM {table} WHERE {condition}"), key=repr)


def test_all_that_a_file_holds_is_on_the_server_and_goes_on_there(server: Server, engine: Engine) -> None:
    server.start()
    people = [server.register(f"Żółć {number}", cid=f"c{number}") for number in range(4)]
    ann, ben, cem, _ = people
    group = ann.begin_group(ben, cem)
    pictures = {ann.send(ben, jpeg(20_000), thumbnail=png(8, 8)).headers["Message-Key"] for _ in range(3)}
    in_group = ann.request(
        "POST", "/v1/images", data={"group_id": str(group)}, files={"img_file": ("x.png", png(3, 3), "image/png")}
    )
    for number in range(PAGE_ROWS + 5):
        text = {"kind": "text", "text": f"{number} 🙂", "receiver_uid": ben.uid}
        assert ann.request("POST", "/v1/messages", json=text).status_code == 201
    use(server, engine.url)
    assert "stop it" in copied(server, status=2)
    assert server.stop() == 0
    count = copied(server)
    assert count["events"] > PAGE_ROWS, "more than a page"
    source = SqliteEngine(server.data_dir / "glimpse.db")
    moved = {name: rows(source, name) for name in metadata.tables if name not in OF_RUNNING_SERVERS}
    users = moved.pop("users")
    assert {name: rows(engine, name) for name in moved} == moved
    assert [row[:2] for row in rows(engine, "users")] == [row[:2] for row in users]
    assert "has rows already" in copied(server, status=2)
    server.start()
    waiting = {item["message_key"] for item in ben.request("GET", "/v1/inbox").json()["items"]}
    assert waiting == {*pictures, in_group.headers["Message-Key"]}
    assert all(ben.get(key).status_code == 200 for key in waiting)
    assert cem.get(in_group.headers["Message-Key"]).content == png(3, 3)
    [before] = source.rows("SELECT MAX(message_id) FROM messages")
    assert int(ann.send(ben, jpeg()).headers["Message-Id"]) > before[0]
    assert ben.request("GET", "/v1/events", params={"after": 5}).status_code == 200
    assert server.stop() == 0
    assert server.failures() == []


def test_all_that_a_server_holds_is_in_a_file_again_and_goes_on_there(server: Server, engine: Engine) -> None:
    there, here = engine.url, json.loads(server.config.read_text())["database"]["url"]
    use(server, there)
    server.start()
    ann, ben, cem = (server.register(f"Żółć {number}", cid=f"c{number}") for number in range(3))
    group = ann.begin_group(ben, cem)
    key = ann.send(ben, jpeg(20_000), thumbnail=png(8, 8)).headers["Message-Key"]
    for number in range(PAGE_ROWS + 5):
        text = {"kind": "text", "text": f"{number} 🙂", "group_id": group}
        assert ann.request("POST", "/v1/messages", json=text).status_code == 201
    use(server, here)
    assert "stop it" in copied(server, status=2, source=there)
    assert server.stop() == 0
    file = server.data_dir / "glimpse.db"
    file.write_bytes(b"somebody's")
    assert "move it away" in copied(server, status=2, source=there)
    assert file.read_bytes() == b"somebody's"
    file.unlink()
    killed = subprocess.run(
        [sys.executable, "-m", "ops", "database", *words(server, there)],
        cwd=ROOT,
        env={**os.environ, "GLIMPSE_FAULT": "after_commit:20"},
        check=False,
    )
    assert (killed.returncode, file.exists()) == (-signal.SIGKILL, False)
    assert copied(server, source=there)["events"] > PAGE_ROWS, "more than a page"
    assert [path.name for path in server.data_dir.glob("glimpse.db*")] == ["glimpse.db"]
    assert file.stat().st_mode & 0o777 == 0o600
    moved = {name: rows(engine, name) for name in metadata.tables if name not in OF_RUNNING_SERVERS}
    users = moved.pop("users")
    found = SqliteEngine(file)
    assert {name: rows(found, name) for name in moved} == moved
    assert [row[:2] for row in rows(found, "users")] == [row[:2] for row in users]
    server.start()
    assert [item["message_key"] for item in ben.request("GET", "/v1/inbox", params={"limit": 1}).json()["items"]]
    assert ben.get(key).status_code == 200
    [before] = engine.rows("SELECT MAX(message_id) FROM messages")
    assert int(ann.send(ben, jpeg()).headers["Message-Id"]) > before[0]
    assert server.stop() == 0
    assert server.failures() == []


def test_a_database_that_another_machine_uses_is_not_copied(server: Server, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "west").mkdir()
    here = Server(tmp_path / "west", json.loads(server.config.read_text()))
    filled(here)
    use(server, engine.url)
    server.start()
    assert "stop every server first" in copied(here, status=2, source=engine.url)
    assert server.stop() == 0
    for wrong in ("mysql://nobody", "http://x"):
        assert "must be" in copied(here, status=2, source=wrong)


def filled(server: Server) -> None:
    """One that somebody has an account on, and that is stopped."""
    server.start()
    server.register("Ann")
    assert server.stop() == 0


def test_a_copy_that_was_cut_off_leaves_a_database_that_no_server_starts_with(server: Server, engine: Engine) -> None:
    filled(server)
    engine.migrate()
    use(server, engine.url)
    killed = subprocess.run(
        [sys.executable, "-m", "ops", "database", *words(server)],
        cwd=ROOT,
        env={**os.environ, "GLIMPSE_FAULT": "after_commit:2"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert engine.rows("SELECT COUNT(*) FROM users") == [(1,)], "half of it is there"
    assert "not finished" in copied(server, status=2)
    with pytest.raises(AssertionError, match="not finished"):
        server.start()


def test_a_database_that_is_somebodys_stays_as_it_is(server: Server, engine: Engine) -> None:
    filled(server)
    engine.migrate()
    use(server, engine.url)
    engine.execute(
        "DELETE FROM migrations WHERE step = (SELECT newest FROM (SELECT MAX(step) newest FROM migrations) n)"
    )
    older = engine.rows("SELECT step, statement FROM migrations")
    assert "has rows already" in copied(server, status=2)
    assert engine.rows("SELECT step, statement FROM migrations") == older
