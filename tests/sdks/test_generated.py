# SPDX-License-Identifier: Apache-2.0
"""A client made of the interface description, unpatched: nothing of the description is lost, and a life works."""

import base64
from collections.abc import Iterator

import httpx
import pytest

from tests.sdks.launching import by_python
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Server, phone_number, running
from tests.support.pictures import png

pytestmark = ON_SQLITE


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("generated")) as server:
        yield server
        assert server.failures() == []


def test_openapi_python_client(server: Server, new_folder: NewFolder) -> None:
    folder = new_folder("made")
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "openapi.json"
    description.write_bytes(httpx.get(f"http://127.0.0.1:{server.port}/openapi.json", trust_env=False).content)
    picture, numbers = png(), [f"+86{phone_number()}" for _ in range(2)]
    found = by_python(
        "generated_client",
        folder=str(folder),
        description=str(description),
        url=f"http://127.0.0.1:{server.port}",
        numbers=numbers,
        picture=base64.b64encode(picture).decode(),
    )
    assert "WARNING" not in found["said"].upper(), found["said"]
    assert found["refused"] == ["Problem", 403, "recipient_unavailable"]
    assert found["event"] == ["ImageEvent", "image", found["uids"][0]]
    assert found["waiting"] == [True]
    assert base64.b64decode(found["fetched"]) == picture
    assert found["state"] == "consumed"
