# SPDX-License-Identifier: Apache-2.0
"""`ops doctor`: what it says of a server that is well, and of each way not to be."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from emulators.apns import running as running_apns
from emulators.fcm import running as running_fcm
from emulators.getui import Running as GetuiRunning
from emulators.getui import running as running_getui
from emulators.keys import pem
from emulators.webhook import Running as WebhookRunning
from emulators.webhook import running as running_webhook
from models.db.sqlite import migrate
from ops.doctor import doctor
from tests.ops.commands import asked, invoke
from tests.support.engines import ON_SQLITE, database_of
from tests.support.harness import Server
from tests.support.pictures import png

pytestmark = pytest.mark.anyio


def said(data_dir: Path, *arguments: object, status: int = 0) -> dict[str, tuple[str, str]]:
    """Each check's status and what it found and advises."""
    document = asked(doctor, data_dir, *arguments, status=status)
    assert document["healthy"] == (status == 0)
    return {check["name"]: (check["status"], f"{check['found']}: {check['advice']}") for check in document["checks"]}


def failing(data_dir: Path, *arguments: object) -> dict[str, str]:
    return {name: text for name, (status, text) in said(data_dir, *arguments, status=1).items() if status == "fail"}


def settings(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "settings.yaml").write_text(json.dumps(values))
    return folder / "settings.yaml"


def test_a_running_server_is_well(server: Server) -> None:
    ann = server.register("Ann", cid="ann-secret")
    ann.send(ann, png(1, 1))
    found = said(server.data_dir)
    assert set(found) == {
        *("config", "guard", "modes", "disk", "inodes", "clock", "time", "files"),
        *(("sqlite",) if server.database.name == "sqlite" else ("server", "durability", "way")),
        *("schema", "database", "keys", "outbox", "images"),
    }
    told = invoke(doctor, server.data_dir)
    assert (told.exit_code, told.stdout.count("\n")) == (0, len(found) + 1)
    assert "ok    images: the oldest 1 have their files" in told.stdout
    assert " 0 fail" in told.stdout
    assert "secret" not in told.stdout + str(found)


def test_a_directory_where_no_server_was_is_no_failure(tmp_path: Path) -> None:
    found = said(tmp_path / "data")
    assert (found["data"][0], found["database"][0]) == ("warn", "warn")
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_looked_into_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.symlink_to("x" * 300)  # any reason will do: root may enter every directory
    assert failing(data_dir)["data"].startswith(f"{data_dir}: File name too long: ")


def test_wrong_settings_and_refusals_are_failures(tmp_path: Path) -> None:
    assert "server.prot" in failing(tmp_path, "--config", settings(tmp_path, {"server": {"prot": 1}}))["config"]
    assert "TLS is off" in failing(tmp_path, "--config", settings(tmp_path, {"server": {"host": "0.0.0.0"}}))["guard"]
    lan = {"server": {"host": "0.0.0.0", "development_lan": True}}
    assert said(tmp_path, "--config", settings(tmp_path, lan))["guard"][0] == "warn"


def test_fewer_open_files_than_connections_need_is_a_warning(tmp_path: Path) -> None:
    many = settings(tmp_path, {"server": {"max_connections": 10**9}})
    assert str(3 * 10**9 + 68) in said(tmp_path, "--config", many)["files"][1]


def test_what_others_can_read_is_a_failure(stopped: Path) -> None:
    (stopped / "keys.json").chmod(0o640)
    found = failing(stopped)
    assert f"chmod go= {stopped / 'keys.json'}" in found["modes"]
    assert "can be read by others" in found["keys"]


def test_a_lost_key_ring_is_a_failure_and_none_is_made(stopped: Path) -> None:
    (stopped / "keys.json").unlink()
    assert "restore it from the backup" in failing(stopped)["keys"]
    assert not (stopped / "keys.json").exists()


def test_an_image_without_its_file_is_a_failure(stopped: Path) -> None:
    [image] = [path for path in (stopped / "images").rglob("*") if path.is_file()]
    image.unlink()
    assert "python -m ops fsck" in failing(stopped)["images"]


def test_a_restore_that_was_cut_off_is_a_failure(stopped: Path) -> None:
    (stopped / "restoring").touch()
    assert "--force" in failing(stopped)["data"]


def test_what_waits_long_and_what_is_dead_is_a_warning(stopped: Path) -> None:
    change(stopped, "UPDATE outbox SET state = 'dead'")
    assert "1 log dead" in said(stopped)["outbox"][1]
    change(stopped, "UPDATE outbox SET state = 'due', created_at = 1")
    assert "1 log due" in said(stopped)["outbox"][1]
    change(stopped, "UPDATE outbox SET created_at = 1 << 41")
    assert said(stopped)["outbox"][0] == "ok"
    change(stopped, "UPDATE outbox SET provider = 'getui', app = 'chat'")
    assert "getui/chat is not configured" in said(stopped)["outbox"][1]


@ON_SQLITE
def test_a_newer_an_older_and_a_broken_database_are_told_apart(stopped: Path) -> None:
    change(stopped, "INSERT INTO migrations VALUES (9999, 0)")
    assert "newer version" in failing(stopped)["schema"]
    change(stopped, "DELETE FROM migrations")
    assert "python -m ops migrate" in said(stopped)["schema"][1]
    (stopped / "glimpse.db").write_bytes(b"not a database" * 100)
    assert "not a database" in failing(stopped)["database"]


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "glimpse.db"
    migrate.run(path)
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    change(tmp_path, f"{many} INSERT INTO users (nickname, reg_time, seen_at) SELECT hex(zeroblob(500)), 0, 0 FROM n")
    data = bytearray(path.read_bytes())
    data[-4096:] = b"\xff" * 4096
    path.write_bytes(data)
    assert "restore" in failing(tmp_path)["database"]


async def test_getuis_keys_are_tried(tmp_path: Path) -> None:
    async with running_getui() as vendor:
        keys = vendor.state.keys
        getui = {"base_url": vendor.base_url, "app_id": keys.app_id, "app_key": keys.app_key}
        right = settings(tmp_path, {"push": {"getui": {**getui, "master_secret": keys.master_secret}}})
        assert (await asyncio.to_thread(said, tmp_path, "--config", right))["getui"][0] == "ok"
        wrong = settings(tmp_path, {"push": {"getui": {**getui, "master_secret": "not-the-secret"}}})
        told = await asyncio.to_thread(failing, tmp_path, "--config", wrong)
        assert "auth: refused" in told["getui"]
        assert "not-the-secret" not in str(told)


@dataclass(frozen=True)
class Vendors:
    """Emulators, and a server's settings for all of them; `ask` tries its providers."""

    folder: Path
    getui: GetuiRunning
    webhook: WebhookRunning
    push: dict[str, Any]
    config: Path

    async def ask(self, *arguments: object, status: int = 0) -> dict[str, tuple[str, str]]:
        return await asyncio.to_thread(said, self.folder, "push", "--config", self.config, *arguments, status=status)


@pytest.fixture
async def vendors(tmp_path: Path) -> AsyncIterator[Vendors]:
    async with running_getui() as getui, running_fcm() as fcm, running_apns() as apns, running_webhook() as webhook:
        push: dict[str, Any] = {
            "getui": {"base_url": getui.base_url, **asdict(getui.state.keys)},
            "fcm": {"base_url": fcm.url, "service_account": fcm.state.keys.service_account(fcm.state.token_url)},
            "apns": {
                "base_url": apns.base_url,
                "ca_file": str(apns.ca_file),
                "team_id": apns.state.keys.team_id,
                "key_id": apns.state.keys.key_id,
                "private_key": pem(apns.state.keys.private_key),
                "topic": apns.state.keys.topic,
            },
            "webhook": {"secret": webhook.state.secret},
            "allow_endpoints": [webhook.url],
        }
        push["getui"]["apps"] = {"other": {**push["getui"], "master_secret": "not-the-secret"}}
        for vendor in (getui, fcm, apns):
            vendor.state.strict = True
        yield Vendors(tmp_path, getui, webhook, push, settings(tmp_path, {"push": push}))


async def test_a_test_goes_through_each_provider_and_what_is_wrong_is_said_in_words(vendors: Vendors) -> None:
    told = await vendors.ask(status=1)

    assert {name: told[name][0] for name in told} == dict.fromkeys(
        ("apns", "fcm", "getui", "log", "ntfy", "webhook"), "ok"
    ) | {"getui/other": "fail"}
    assert "auth: refused, code 20001" in told["getui/other"][1]
    assert "check push.getui.apps.other" in told["getui/other"][1]
    assert "not-the-secret" not in str(told)
    assert not (vendors.folder / "vapid.pem").exists()
    assert "is not configured" in (await vendors.ask("--provider", "webpush", status=1))["webpush"][1]


async def test_a_test_to_a_device_is_shown_there_or_said_why_not(vendors: Vendors) -> None:
    vendors.getui.state.cids |= {"phone": "online", "away": "stale"}

    to_getui = ("--provider", "getui", "--app", "", "--token")
    assert (await vendors.ask(*to_getui, "phone"))["getui"][1].startswith("took the test")
    assert (await vendors.ask(*to_getui, "away"))["getui"][0] == "warn"
    assert "calls this token dead" in (await vendors.ask(*to_getui, "nobody"))["getui"][1]
    assert [item["transmission"] for item in vendors.getui.state.inbox["phone"]] == ['{"type":"test"}']
    hook = ("--provider", "webhook", "--token")
    assert (await vendors.ask(*hook, vendors.webhook.hook("mine")))["webhook"][0] == "ok"
    inside = (await vendors.ask(*hook, "https://10.0.0.1/x", status=1))["webhook"]
    assert "push.allow_endpoints" in inside[1]


async def test_a_vendor_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    async with running_getui() as getui:
        section = {"base_url": getui.base_url, **asdict(getui.state.keys)}
    config = settings(tmp_path, {"push": {"getui": section}})
    gone = await asyncio.to_thread(failing, tmp_path, "push", "--config", config, "--provider", "getui", "--app", "")
    assert "check the way out" in gone["getui"]


def change(data_dir: Path, sql: str) -> None:
    database_of(data_dir).execute(sql)
