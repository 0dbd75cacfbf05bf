# SPDX-License-Identifier: Apache-2.0
"""An upgrade loses nothing: the data of the last release, and new code under a server that runs."""

import asyncio
import json
import shutil
import tomllib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.migrate import migrate
from ops.status import status
from tests.ops.commands import invoke
from tests.process.generations import Load, Whole, whole
from tests.process.invariants import check_database, pushes_due, rows
from tests.process.last_release import Laid, lay
from tests.support import ROOT
from tests.support.engines import database_of
from tests.support.harness import Server, errors, running, wait_until
from tests.support.pictures import jpeg
from tests.support.push_vendors import PushVendors, emulated

REFUSED = "a restart was refused: this generation goes on"
LATER = "0099_later"


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[PushVendors]:
    """GeTui, which the last release did not reach."""
    with emulated(tmp_path, ["getui"]) as vendors:
        yield vendors


def settings(vendors: PushVendors) -> dict[str, Any]:
    return {"push": vendors.push, "limits": {"enabled": False}, "storage": {"min_free_bytes": 1}}


def pushed(vendors: PushVendors) -> set[int]:
    return {push.message_id for push in vendors.each["getui"].received()}


def check_nothing_is_lost(server: Server, laid: Laid, vendors: PushVendors) -> None:
    """Whoever used the last release finds everything as they left it, and learns of what they had not been told."""
    ann, ben, dan = (laid.person(server, name) for name in ("Ann", "Ben", "Dan"))
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="all pushes")
    known = {event["id"]: event for event in ben.request("GET", "/v1/events?after=0").json()["items"]}
    for event in laid.told["events"]:
        assert event["data"].items() <= known[event["id"]]["data"].items()
    about = {event["data"]["message_id"] for event in laid.told["events"] if event["type"] in {"message", "image"}}
    assert pushed(vendors) == about
    waiting = {key: b64decode(picture) for key, picture in laid.told["waiting"].items()}
    assert {item["message_key"] for item in ben.request("GET", "/v1/inbox").json()["items"]} == set(waiting)
    assert {key: ben.get(key).content for key in waiting} == waiting
    assert ben.status(laid.told["fetched"])["state"] == "consumed"
    assert "said before" in ben.request("GET", "/v1/messages", params={"with_uid": ann.uid}).text
    assert "said to all" in ben.request("GET", "/v1/messages", params={"group_id": laid.told["group_id"]}).text
    assert ben.request("GET", "/v1/conversations").json()["items"]
    assert [friend["uid"] for friend in ann.request("GET", "/v1/friends").json()["items"]] == [ben.uid]
    assert [blocked["uid"] for blocked in ben.request("GET", "/v1/blocks").json()["items"]] == [dan.uid]
    refreshed = server.client.post("/v1/tokens/refresh", json={"refresh_token": laid.told["refresh_token"]})
    assert refreshed.status_code == 200
    assert server.client.post("/v1/login", json={"login": "ann", "password": "correct horse"}).status_code == 200
    assert ann.send(ben, jpeg(4000)).status_code == 201
    assert rows(server.data_dir, "SELECT reporter_uid, reason FROM reports") == [(dan.uid, "spam")]


@pytest.mark.parametrize("by_command", [False, True], ids=["by the start", "by ops migrate"])
@pytest.mark.usefixtures("engine")
def test_the_data_of_the_last_release_is_upgraded(tmp_path: Path, vendors: PushVendors, by_command: bool) -> None:
    data_dir = tmp_path / "data"
    laid = lay(data_dir, database_of(data_dir))
    if by_command:
        assert f"has schema {laid.last_step}." in invoke(migrate, data_dir, "--dry-run").output
        assert invoke(migrate, data_dir).exit_code == 0
        assert "nothing to do" in invoke(migrate, data_dir).output
    with running(tmp_path, settings(vendors)) as server:
        check_nothing_is_lost(server, laid, vendors)
        assert server.stop() == 0
    check_database(data_dir, pushed=pushed(vendors))
    assert server.failures() == []


class Upgradable(Whole):
    """A server whose code is a copy."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        super().__init__(folder, settings)
        self.program = folder / "program"
        rooms = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
        for room in [*rooms, "web", "clients/js/src"]:
            shutil.copytree(ROOT / room, self.program / room, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("server.py", "config.yaml", "pyproject.toml"):
            shutil.copy(ROOT / file, self.program)

    def upgrade(self, version: str, migration: str = "") -> None:
        """Lay another version over the program, with a migration of this statement if there is one."""
        project = self.program / "pyproject.toml"
        lines = project.read_text().splitlines()
        project.write_text("\n".join(f'version = "{version}"' if x.startswith("version =") else x for x in lines))
        if migration:
            step = self.program / "models" / "db" / "migrations" / f"{LATER}.sql"
            step.write_text(f"-- [sqlite]\n{migration};\n-- [mysql]\n{migration};\n")

    @property
    def version(self) -> str:
        """The one that serves now."""
        with self.connect() as fresh:
            fresh.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: fresh.recv(4096), b""))
        return str(json.loads(answer.partition(b"\r\n\r\n")[2])["version"])


def test_new_code_comes_into_force_under_load_and_a_pending_migration_waits_for_a_start(
    tmp_path: Path, vendors: PushVendors
) -> None:
    laid = lay(tmp_path / "data", database_of(tmp_path / "data"))
    with whole(Upgradable(tmp_path, settings(vendors))) as server:
        people = [laid.person(server, name) for name in ("Cem", "Dan")]

        async def upgraded_under_load() -> Load:
            load = Load(server, people, requesters=4, pace=0.05)
            running = asyncio.create_task(load.run(uploads=2, readers=4))
            await load.answers(20)
            server.upgrade("7.0.0")
            await asyncio.to_thread(server.restart)
            # For a moment both accept.
            await load.until(lambda: server.version == "7.0.0", "an answer of the new version")
            await load.answers(20)
            server.upgrade("7.1.0", "CREATE TABLE later (number BIGINT)")
            assert LATER in await asyncio.to_thread(server.refused_restart)
            await load.answers(20)
            load.stop.set()
            await running
            return load

        met = asyncio.run(upgraded_under_load()).met
        assert (met.wrong, bool(met.sent)) == ([], True)
        assert server.version == "7.0.0"
        wait_until(lambda: REFUSED in server.events(), what="the line of the log")
        server.provoked.update(line for line in errors(server.log.read_text()) if REFUSED in line)
        told = invoke(status, server.data_dir)
        assert (told.exit_code, f"was refused: database.url: the schema lacks {LATER}" in told.output) == (1, True)
        assert server.stop() == 0
        server.start()
        assert server.version == "7.1.0"
        assert invoke(status, server.data_dir).exit_code == 0
        check_nothing_is_lost(server, laid, vendors)
    check_database(server.data_dir, pushed=pushed(vendors))
    assert server.failures() == []
