# SPDX-License-Identifier: Apache-2.0
"""People as the room chat sample's client has them, with its two transports, and servers beside hosted services."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.support import PATIENCE
from tests.support.harness import Server
from tests.support.vendors import HostedVendor

_numbers = count(1)


@dataclass(frozen=True)
class Hosted:
    """A server and the emulators that it was pointed at."""

    server: Server
    agora: HostedVendor
    sendbird: HostedVendor


def new_name(stem: str = "aaa") -> str:
    """A login that nobody has yet."""
    return f"{stem}{next(_numbers)}"


@dataclass(frozen=True)
class Talker:
    """Somebody who has logged in to room chat."""

    server: Server
    login: str
    username: str
    uuid: str

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.server.client.post(path, json=body, headers={"user": self.uuid})

    def create_room(self) -> str:
        reply = self.post("/create-room", {})
        assert reply.status_code == 200, reply.text
        room_gid: str = reply.json()["data"]["room_gid"]
        return room_gid

    def say(self, room_gid: str, msg: str) -> httpx.Response:
        return self.post("/send-message", {"room_gid": room_gid, "msg": msg})

    def ask(self, room_gid: object) -> httpx.Response:
        """GET /get-room-history."""
        return self.server.client.get(
            "/get-room-history", params={"room_gid": str(room_gid)}, headers={"user": self.uuid}
        )

    def history(self, room_gid: str) -> list[dict[str, Any]]:
        reply = self.ask(room_gid)
        assert reply.status_code == 200, reply.text
        assert reply.json()["ok"] is True
        data: list[dict[str, Any]] = reply.json()["data"]
        return data

    def heard(self, room_gid: str) -> list[str]:
        return [entry["msg"]["txt"] for entry in self.history(room_gid)]

    def native(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """The same account by the native interface."""
        tokens = self.server.client.post("/v1/login", json={"login": self.login, "password": "password"}).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return self.server.client.request(method, path, headers=headers, **kwargs)


def talker(server: Server, username: str = "Mikolaj") -> Talker:
    """A newcomer, registered and logged in as the document has it."""
    login = new_name()
    registered = server.client.post("/register", json={"login": login, "password": "password", "username": username})
    assert (registered.status_code, registered.json()) == (200, {"ok": True})
    reply = server.client.post("/login", json={"login": login, "password": "password"})
    assert (reply.status_code, reply.json()["ok"]) == (200, True)
    data = reply.json()["data"]
    return Talker(server, login, data["username"], data["uuid"])


class Listener:
    """A client of the event socket."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.lines = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines.readline())
        return found

    def skip_to(self, text: str) -> None:
        """Read on until this was said."""
        while self.next()["msg"]["txt"] != text:
            pass

    def is_closed(self) -> bool:
        """Wait until the server closes, which it does without a word."""
        try:
            return self.lines.readline() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def listening(port: int, hello: bytes = b"", **kwargs: Any) -> Iterator[Listener]:
    with closing(Listener(port, **kwargs)) as listener:
        listener.send(hello)
        yield listener


def hello(person: Talker, room_gid: str) -> bytes:
    return json.dumps({"uuid": person.uuid, "room_gid": room_gid}).encode()


def settle(listener: Listener, speaker: Talker, room_gid: str) -> str:
    """Return when the listener follows, and has heard what is returned: nothing else tells a client that it does."""
    listener.socket.settimeout(0.2)
    for number in count(1):
        assert number < 300, "nothing was heard"
        last = f"settling {uuid4()}"
        assert speaker.say(room_gid, last).status_code == 200
        try:
            first = listener.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        assert first, "the connection was closed"
        break
    listener.socket.settimeout(PATIENCE)
    listener.skip_to(last)
    return last
