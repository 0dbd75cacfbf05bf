# SPDX-License-Identifier: Apache-2.0
"""`ops doctor` about a database server: each way not to be well, and what it says of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ops.doctor import doctor
from ops.migrate import migrate
from tests.ops.commands import asked, invoke, refused
from tests.support.engines import ON_MARIADB, Engine, mariadb_server
from tests.support.mariadb import PASSWORD

pytestmark = ON_MARIADB


def said(data_dir: Path, *arguments: object, status: int = 0) -> dict[str, tuple[str, str]]:
    document = asked(doctor, data_dir, *arguments, status=status)
    assert PASSWORD not in str(document)
    return {check["name"]: (check["status"], f"{check['found']}: {check['advice']}") for check in document["checks"]}


@contextmanager
def set_to(name: str, value: int, usual: int) -> Iterator[None]:
    with closing(mariadb_server().connect()) as connection:
        connection.query(f"SET GLOBAL {name} = {value}")
        try:
            yield
        finally:
            connection.query(f"SET GLOBAL {name} = {usual}")


def test_the_server_s_version_is_its_own(stopped: Path) -> None:
    with closing(mariadb_server().connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        [[version]] = cursor.fetchall()
    assert said(stopped)["server"] == ("ok", f"is {version}: ")


def test_settings_that_lose_what_was_accepted_or_accept_nothing_are_failures(stopped: Path) -> None:
    assert said(stopped)["durability"] == ("ok", "a commit is on the disk: ")
    with set_to("innodb_flush_log_at_trx_commit", 2, 1):
        status, text = said(stopped, status=1)["durability"]
    assert (status, "innodb_flush_log_at_trx_commit is 2" in text, "set it to 1" in text) == ("fail", True, True)
    with set_to("read_only", 1, 0):
        assert said(stopped, status=1)["server"][0] == "fail"


def test_a_server_that_is_away_is_a_failure_and_commands_say_so_in_a_line(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"mysql://glimpse:{PASSWORD}@127.0.0.1:1/glimpse_1"
    (stopped / "away.yaml").write_text(f"database: {{url: '{url}'}}")
    monkeypatch.setattr("tests.ops.commands.environment_of", lambda _data_dir: {})
    status, text = said(stopped, "--config", stopped / "away.yaml", status=1)["database"]
    assert (status, "Can't connect" in text, "see whether the server runs" in text) == ("fail", True, True)
    assert PASSWORD not in refused(migrate, stopped, "--config", stopped / "away.yaml")


def test_a_newer_and_an_older_schema_are_told_apart_and_migrate_mends_the_older(stopped: Path, engine: Engine) -> None:
    engine.execute("INSERT INTO migrations (step, statement) VALUES (9999, 0)")
    assert "newer version" in said(stopped, status=1)["schema"][1]
    engine.execute("DELETE FROM migrations WHERE step = 9999")
    engine.execute("DELETE FROM migrations WHERE step = (SELECT MAX(step) FROM migrations)")
    assert "python -m ops migrate" in said(stopped)["schema"][1]
    assert "to do: 00" in invoke(migrate, stopped, "--dry-run").stdout
    assert "done: 00" in invoke(migrate, stopped).stdout
    assert said(stopped)["schema"][0] == "ok"
    assert invoke(migrate, stopped).stdout == "There is nothing to do.\n"
