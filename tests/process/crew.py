# SPDX-License-Identifier: Apache-2.0
"""A server of several workers: which process is which, and connections to one of them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from tests.support import PATIENCE
from tests.support.harness import Person, Server, errors, running, wait_until

MOST_TRIES = 300
HELD_BACK = 10
FORM = "multipart/form-data; boundary=frontier"


class Crew:
    """The workers of a server."""

    def __init__(self, server: Server, count: int) -> None:
        self.server = server
        self.count = count

    @property
    def pids(self) -> set[int]:
        """Every worker that there is."""
        assert self.server.process
        pid = self.server.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def pid_of(self, number: int) -> int:
        """The process that a worker is, or was last; 0 before it has said that it serves."""
        began = [said for said in self.log() if said["event"] == "the server has started" and said["worker"] == number]
        return int(began[-1]["pid"]) if began else 0

    def serves(self, number: int) -> bool:
        """Whether there is a process that serves as this worker."""
        return self.pid_of(number) in self.pids

    def log(self) -> Iterator[dict[str, Any]]:
        for line in self.server.log.read_text().splitlines():
            if line.endswith("}"):
                yield json.loads(line)

    def worker_of(self, request_id: str) -> int:
        """Who has answered, by the access log."""
        found: list[int] = []

        def logged() -> bool:
            found.extend(said["worker"] for said in self.log() if said.get("request_id") == request_id)
            return bool(found)

        wait_until(logged, what="the line of a request")
        return found[0]

    @contextmanager
    def line_to(self, number: int) -> Iterator["Line"]:
        """A connection that leads to this worker."""
        with ExitStack() as others:
            for _ in range(MOST_TRIES):
                line = Line(self.server)
                if self.worker_of(line.ask("GET", "/healthz").headers["X-Request-Id"] or "") == number:
                    break
                others.callback(line.close)
            else:
                raise AssertionError(f"none of {MOST_TRIES} connections led to worker {number}")
        try:
            yield line
        finally:
            line.close()

    def uploads_running(self) -> int:
        """How many uploads have bytes on the disk: each holds a nameless file of the store."""
        images = str(self.server.data_dir / "images")
        links = [target(link) for pid in self.pids for link in Path(f"/proc/{pid}/fd").iterdir()]
        return sum(link.startswith(images) and link.endswith("(deleted)") for link in links)

    def expect(self, *events: str) -> None:
        """These lines of level error are what the test has provoked."""
        self.server.provoked.update(
            line for line in errors(self.server.log.read_text()) if json.loads(line)["event"] in events
        )


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection, kept for as many requests as one likes."""

    def __init__(self, server: Server) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.connect()

    def ask(self, method: str, path: str, person: Person | None = None, body: bytes = b"", kind: str = "") -> Answer:
        self.begin(method, path, person, body, kind)
        return self.answer()

    def begin(self, method: str, path: str, person: Person | None = None, body: bytes = b"", kind: str = "") -> None:
        """Send a request, and do not wait for its answer."""
        headers = {"Authorization": person.basic} if person else {}
        self._connection.request(method, path, body or None, {**headers, **({"Content-Type": kind} if kind else {})})

    def answer(self) -> Answer:
        reply = self._connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())

    def send(self, sender: Person, receiver: Person, picture: bytes) -> Answer:
        """A whole image."""
        self.begin_image(sender, receiver, picture)
        self.finish_image()
        return self.answer()

    def begin_image(self, sender: Person | None, receiver: Person, picture: bytes) -> None:
        """An image but for its last bytes; from somebody who does not say yet who they are, if not from `sender`."""
        body = form(receiver, picture)
        self._connection.putrequest("POST", "/v1/images")
        if sender:
            self._connection.putheader("Authorization", sender.basic)
        self._connection.putheader("Content-Type", FORM)
        self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body[:-HELD_BACK])
        self._rest = body[-HELD_BACK:]

    def finish_image(self) -> None:
        self._connection.send(self._rest)

    def events(self, person: Person) -> HTTPResponse:
        """The stream of what is new to this person from now on."""
        self.begin("GET", "/v1/events/stream", person)
        reply = self._connection.getresponse()
        assert reply.status == 200
        assert reply.readline().startswith(b"retry:")
        return reply

    def close(self) -> None:
        self._connection.close()


def target(link: Path) -> str:
    """Where a symbolic link leads; nothing where it is gone by now."""
    with suppress(OSError):
        return str(link.readlink())
    return ""


def form(receiver: Person, picture: bytes) -> bytes:
    def part(name: bytes, value: bytes) -> bytes:
        return b'--frontier\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)

    return part(b"receiver_uid", str(receiver.uid).encode()) + part(b"img_file", picture) + b"--frontier--\r\n"


@contextmanager
def crew(folder: Path, settings: Mapping[str, Any] | None = None, count: int = 2) -> Iterator[Crew]:
    """A server of so many workers for the length of a block."""
    given = dict(settings or {})
    own = {**given.pop("server", {}), "workers": count}
    with running(folder, {"limits": {"enabled": False}, **given, "server": own}) as server:
        yield Crew(server, count)
