# SPDX-License-Identifier: Apache-2.0
"""A server, and what a program is given that makes a client of its description and lives with it."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Server, phone_number, running
from tests.support.pictures import png


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("generated")) as server:
        yield server
        assert server.failures() == []


@dataclass(frozen=True, slots=True)
class Task:
    """What a program is given that generates a client and lives with it."""

    picture: bytes
    given: dict[str, Any]

    def check(self, found: dict[str, Any]) -> None:
        """The whole life was as the description says."""
        assert found["refused"][-2:] == [403, "recipient_unavailable"]
        assert found["event"][-2:] == ["image", found["uids"][0]]
        assert found["waiting"] == [True]
        assert base64.b64decode(found["fetched"]) == self.picture
        assert found["state"] == "consumed"


@pytest.fixture
def task(server: Server, new_folder: NewFolder) -> Task:
    folder, url, picture = new_folder("made"), f"http://127.0.0.1:{server.port}", png()
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "openapi.json"
    description.write_bytes(httpx.get(f"{url}/openapi.json", trust_env=False, verify=False).content)
    numbers = [f"+86{phone_number()}" for _ in range(2)]
    given = {"folder": str(folder), "description": str(description), "url": url, "numbers": numbers}
    return Task(picture, {**given, "picture": base64.b64encode(picture).decode()})
