# SPDX-License-Identifier: Apache-2.0
"""What operators ask GeTui by command: whether a phone is connected."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from emulators.getui import Running, running
from ops.doctor import doctor
from tests.ops.commands import asked

pytestmark = pytest.mark.anyio


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


@pytest.fixture
def config(vendor: Running, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    getui = {"base_url": vendor.base_url, **asdict(vendor.state.keys)}
    path.write_text(json.dumps({"push": {"getui": getui}}))
    return path


async def said(config: Path, cid: str) -> tuple[str, str]:
    arguments = ("push", "--config", config, "--provider", "getui", "--app", "", "--token", cid)
    document: dict[str, Any] = await asyncio.to_thread(asked, doctor, config.parent, *arguments)
    [check] = document["checks"]
    return check["status"], check["found"]


async def test_the_doctor_says_since_when_a_phone_is_away(vendor: Running, config: Path) -> None:
    vendor.state.cids.update(here="online", away="offline")
    assert await said(config, "here") == ("ok", "took the test; the phone should show it")
    status, found = await said(config, "away")
    assert status == "warn"
    assert found.startswith("took the test, and the app has not been connected since 20")
