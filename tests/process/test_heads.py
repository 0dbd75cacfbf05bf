# SPDX-License-Identifier: Apache-2.0
"""HEAD of whatever GET answers: the same head, no content, and nothing changes."""

from collections.abc import Iterator

import pytest

from handlers.routes import ROUTES
from tests.process.test_previews import THUMB
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg

GOT = [route.path for route in ROUTES if route.method == "GET"]
VARYING = {"x-request-id", "date"}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("heads"), {"limits": {"enabled": False}, "delivery": {"grace_seconds": 0}}) as server:
        yield server
        assert server.failures() == []


@pytest.mark.parametrize("path", GOT)
def test_what_can_be_got_names_head_among_its_methods(server: Server, path: str) -> None:
    refused = server.client.request("BREW", path)
    assert refused.status_code == 405
    assert {"GET", "HEAD"} <= set(refused.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs", "/openapi.json", "/healthz", "/readyz"),
        *("/v1/me", "/v1/inbox", "/v1/devices", "/v1/friends", "/v1/blocks", "/v1/groups", "/v1/conversations"),
        *("/v1/events?after=0", "/v1/messages?with_uid={ann}", "/v1/users/{ann}", "/v1/users/x", "/v1/qr?text=x"),
        *("/v1/images/{key}/thumbnail", "/v1/images/{key}/status", "/v1/images/{key}?ack=manual", "/v1/inbox?limit=0"),
    ],
)
def test_a_head_is_that_of_the_answer(ann: Person, ben: Person, path: str) -> None:
    key = ann.send(ben, jpeg(), None, THUMB).headers["Message-Key"]
    asked = path.format(key=key, ann=ann.uid)
    got, head = (ben.request(method, asked) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    told = [{name: text for name, text in reply.headers.items() if name not in VARYING} for reply in (got, head)]
    assert told[0] == told[1]


def test_no_head_consumes(ann: Person, ben: Person) -> None:
    key = ann.send(ben, jpeg(), None, THUMB).headers["Message-Key"]
    for path in (f"/v1/images/{key}", f"/v1/images/{key}/thumbnail"):
        assert ben.request("HEAD", path).status_code == 200
    assert ann.status(key)["state"] == "pending"
    assert len(ben.get(key).content) == len(jpeg())


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=999999-"])
def test_a_range_is_of_get_alone(ann: Person, ben: Person, asked: str) -> None:
    key = ann.send(ben, jpeg()).headers["Message-Key"]
    head = ben.request("HEAD", f"/v1/images/{key}", headers={"Range": asked})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(jpeg())))
    assert "Content-Range" not in head.headers


def test_a_head_of_what_has_no_end_ends(server: Server, ann: Person) -> None:
    stream = ann.request("HEAD", "/v1/events/stream")
    assert (stream.status_code, stream.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert "Content-Length" not in stream.headers
    assert ann.request("HEAD", "/v1/me/export").status_code == 200
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + "A" * 22
    socket = f"HEAD /v1/events/ws HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.basic}\r\n{upgrade}==\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(socket.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
