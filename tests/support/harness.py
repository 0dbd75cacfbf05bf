# SPDX-License-Identifier: Apache-2.0
"""The real server as a process of its own, and people who use it over real sockets."""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import ssl
import time
import weakref
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

from tests.support import PATIENCE, contract, engines
from tests.support.launcher import Launched, launch

ONE_PORT = {"samples": {"room_socket_port": 0}}
"""The room socket has a port of its own, which the servers of tests that run at once would take from each other."""
BROKEN = (httpx.TransportError, RuntimeError)
"""What a client meets whose server has died: a broken connection, or a `Server.client` that is closed by now."""
_numbers = itertools.count(int.from_bytes(os.urandom(3), "big"))


def phone_number() -> str:
    """A Chinese mobile number that no other call gives in this run."""
    return f"139{next(_numbers) % 10**8:08d}"


@dataclass(frozen=True)
class Person:
    """A registered person and their way to call the server."""

    server: "Server"
    uid: int
    ukey: str
    phone_hash: str

    @property
    def auth(self) -> tuple[str, str]:
        return (self.phone_hash, self.ukey)

    @property
    def basic(self) -> str:
        """The Authorization header's value, for requests written by hand."""
        return f"Basic {b64encode(f'{self.phone_hash}:{self.ukey}'.encode()).decode()}"

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self.server.client.request(method, path, auth=self.auth, **kwargs)

    def send(
        self,
        to: "Person",
        image: bytes,
        headers: Mapping[str, str] | None = None,
        thumbnail: bytes | None = None,
        **fields: str,
    ) -> httpx.Response:
        """POST /v1/images to one person."""
        files = {"img_file": ("x.jpg", image, "image/jpeg")}
        if thumbnail is not None:
            files["thumb_file"] = ("t.jpg", thumbnail, "image/jpeg")
        return self.request(
            "POST",
            "/v1/images",
            data={"receiver_uid": str(to.uid), **fields},
            files=files,
            headers=headers,
        )

    def begin_group(self, *others: "Person", name: str = "friends", join: str = "invite") -> int:
        """A group that these people are asked into and come; its id."""
        body = {"name": name, "members": [other.uid for other in others], "join": join}
        made = self.request("POST", "/v1/groups", json=body)
        assert made.status_code == 201, made.text
        group_id: int = made.json()["group_id"]
        for other in others:
            other.enter_group(group_id)
        return group_id

    def enter_group(self, group_id: int) -> None:
        """Come into a group that one was asked into."""
        assert self.request("PUT", f"/v1/groups/{group_id}/members/{self.uid}", json={}).status_code == 204

    def befriend(self, other: "Person") -> None:
        """Ask each other: they are friends then."""
        for one, asked in ((self, other), (other, self)):
            assert one.request("POST", "/v1/friends", json={"uid": asked.uid}).is_success

    def get(self, message_key: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", f"/v1/images/{message_key}", **kwargs)

    def status(self, message_key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", f"/v1/images/{message_key}/status").json()
        return found


class Server:
    """A generation of `python server.py` on a free port of loopback, with a data directory and a database of its own.

    `database` is of the engine that the test is meant for: the same for each server of this folder.
    `trust` is what a client of a server with TLS believes.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any] | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self.folder = folder
        self.trust = trust
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.config = folder / "config.yaml"
        self.database = engines.database_of(self.data_dir)
        self.config.write_text(json.dumps({**ONE_PORT, **engines.settings_of(self.data_dir), **(settings or {})}))
        self.provoked: set[str] = set()
        self.process: Launched | None = None
        self.port = 0
        self._ended: list[httpx.Client] = []
        weakref.finalize(self, _close, self._ended)

    def start(self, **environment: str) -> "Server":
        arguments = ["--config", str(self.config), "--port", "0", "--data-dir", str(self.data_dir)]
        with self.log.open("a") as log:
            self.process = self.launch(arguments, log, {**os.environ, **environment})
        for line in self.process.stdout:
            if found := re.search(r"listens on (https?)://[^ ]*:(\d+)", line):
                scheme, self.port = found[1], int(found[2])
                break
        else:
            self.process.wait(PATIENCE)
            self.process.stdout.close()
            raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
        self.client = httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{self.port}",
            timeout=PATIENCE,
            trust_env=False,
            verify=self.trust or False,  # the usual certificates are 50 ms to load, and nobody shows one of them
            event_hooks={"response": [contract.check]},
        )
        return self

    def launch(self, arguments: list[str], log: IO[Any], environment: Mapping[str, str]) -> Launched:
        return launch("app.serving", arguments, stderr=log, environment=environment)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.terminate()
        return self.wait()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """The exit code, once there is one."""
        assert self.process
        code = self.process.wait(PATIENCE)
        # Not while others may ask: a thread could wait at a descriptor that is somebody else's by then. Whoever asked a
        # server that was killed has had its answer when the next one is.
        self._ended.append(self.client)
        over = self._ended[: -1 if code == -signal.SIGKILL else None]
        _close(over)
        del self._ended[: len(over)]
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def register(self, nickname: str = "somebody", **fields: Any) -> Person:
        body = {"region_num": "86", "phone_num": phone_number(), "nickname": nickname, **fields}
        reply = self.client.post("/v1/register", json=body)
        assert reply.status_code == 201, reply.text
        return Person(self, **reply.json())

    def connect(self, window: int = 0) -> socket.socket:
        """A raw connection, under TLS where the server has it. `window`: how much its kernel may hold unread, if less
        than usual.
        """
        connection = self.dial(window)
        return self.trust.wrap_socket(connection, server_hostname="127.0.0.1") if self.trust else connection

    def dial(self, window: int = 0) -> socket.socket:
        """As `connect`, without a word of TLS."""
        connection = socket.socket()
        try:
            if window:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", self.port))
        except OSError:
            connection.close()
            raise
        return connection

    def raw(self, request: bytes) -> bytes:
        """Send these bytes, and read until the server closes."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            connection.settimeout(PATIENCE)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer

    def stored_files(self) -> list[Path]:
        return [Path(folder, name) for folder, _, names in os.walk(self.data_dir / "images") for name in names]

    def open_files(self) -> int:
        """Open descriptors, but for the connections that it keeps to its database."""
        assert self.process
        links = [_target(link) for link in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        return len(links) - len(self.database.sockets().intersection(links))

    def failures(self) -> list[str]:
        """Log lines of level error but those in `provoked`: there must be none, whatever a client did."""
        return [line for line in errors(self.log.read_text()) if line not in self.provoked]


def _close(clients: list[httpx.Client]) -> None:
    for client in clients:
        client.close()


def _target(link: Path) -> str:
    """Where a symbolic link leads; nothing where it is gone by now."""
    with contextlib.suppress(FileNotFoundError):
        return str(link.readlink())
    return ""


def errors(log: str) -> list[str]:
    """The lines of level error in a log."""
    return [line for line in log.splitlines() if '"level": "error"' in line or "Traceback" in line]


def wait_until(
    condition: Callable[[], bool], seconds: float = PATIENCE, what: str = "a condition", pause: float = 0.01
) -> None:
    """Poll until the condition holds, every `pause` seconds. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(pause)


def until_answered(ask: Callable[[], httpx.Response], on_failure: Callable[[], None] = lambda: None) -> httpx.Response:
    """Ask again and again, while servers die and come back, until there is an answer."""
    replies: list[httpx.Response] = []

    def answered() -> bool:
        try:
            replies.append(ask())
        except BROKEN:
            on_failure()
        return bool(replies)

    # Seldom enough to leave the processor to the server that is coming back.
    wait_until(answered, what="an answer", pause=0.2)
    return replies[0]


@contextlib.contextmanager
def running(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    trust: ssl.SSLContext | None = None,
    **environment: str,
) -> Iterator[Server]:
    """A server for the length of a block; killed if the block did not stop it."""
    server = Server(folder, settings, trust).start(**environment)
    try:
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.stop()
