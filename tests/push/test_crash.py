# SPDX-License-Identifier: Apache-2.0
"""A relay that is killed around its push: the notification is not lost, and comes with the same message id."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.push.conftest import World
from tests.support import ROOT

pytestmark = pytest.mark.anyio

RELAY = """
import asyncio, sys
from pathlib import Path
from models.db.engine import open_database, parse_url
from httpclient.endpoints import Endpoints
from push.base import VisibleText
from push.registry import build
from tests.support.scripted import SHARES
from push.relay import Relay
from push.vendor import Tools

async def main(database, log, now):
    db = open_database(parse_url(database))
    providers = build({("log", ""): {"path": Path(log)}}, Tools(Endpoints(), SHARES, VisibleText("Title", "Text")))
    relay = Relay(db, providers, bytes.decode, clock=lambda: int(now))
    print(await relay.run_once())
    await db.close()

asyncio.run(main(*sys.argv[1:]))
"""


def relay_once(url: str, folder: Path, now: int, fault: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RELAY, url, str(folder / "outbox.log"), str(now)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLIMPSE_FAULT": fault}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("fault", "pushes"), [("before_push", 1), ("after_push", 2)])
async def test_killed_relay_loses_no_push(world: World, tmp_path: Path, fault: str, pushes: int) -> None:
    sender, receiver = await world.person(b"sender"), await world.person()
    await world.device(receiver, "t")
    message_id = await world.message(sender, receiver)
    now = world.clock()
    assert relay_once(world.engine.url, tmp_path, now, fault).returncode == -signal.SIGKILL
    assert await world.states() == ["due"]
    assert relay_once(world.engine.url, tmp_path, now + 59_999).stdout == "0\n"
    assert relay_once(world.engine.url, tmp_path, now + 60_000).stdout == "1\n"
    assert await world.states() == ["delivered"]
    lines = [json.loads(line) for line in (tmp_path / "outbox.log").read_text().splitlines()]
    assert [line["payload"]["message_id"] for line in lines] == [message_id] * pushes
