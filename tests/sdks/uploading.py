# SPDX-License-Identifier: Apache-2.0
"""What a tus client is given, and what is to have become of it."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, running
from tests.support.pictures import jpeg

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Sending:
    """A picture from one person to another."""

    ann: Person
    ben: Person
    picture: bytes

    @property
    def given(self) -> dict[str, Any]:
        return {
            "endpoint": f"{self.ann.server.client.base_url}/v1/uploads".replace("//v1", "/v1"),
            "authorization": self.ann.basic,
            "picture": b64encode(self.picture).decode(),
            "to": self.ben.uid,
            "chunk": CHUNK,
        }

    def check(self, key: str, caption: str) -> None:
        [item] = self.ben.request("GET", "/v1/inbox").json()["items"]
        assert (item["message_key"], item["caption"]) == (key, caption)
        assert self.ben.get(key).content == self.picture


@pytest.fixture
def sending(new_folder: NewFolder) -> Iterator[Sending]:
    with running(new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield Sending(server.register("Ann"), server.register("Ben"), jpeg(400_000))
        assert server.failures() == []
