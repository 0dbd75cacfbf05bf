# SPDX-License-Identifier: Apache-2.0
"""A server with its main process, as an operator starts it, and what a load of clients meets while it restarts."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import IO, Any, TypeVar

from app.status_file import read_status
from tests.process.crew import FORM, form
from tests.support import ROOT
from tests.support.harness import Person, Server, wait_until
from tests.support.launcher import DEFAULT_SIGNALS, Launched
from tests.support.pictures import jpeg

REQUESTS_PER_CONNECTION = 20
PIECES = 20
"""Of an upload, which is sent over `UPLOAD_SECONDS`: most are under way when the server restarts."""
UPLOAD_SECONDS = 2.0


class Started(Launched):
    """A process that a fresh interpreter runs, as `Launched` shows one that was forked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.stdout, self.pid, self.returncode = process.stdout, process.pid, None
        self._process = process

    def _look(self, timeout: float | None) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.returncode = self._process.wait(timeout)
        return self.returncode


class Whole(Server):
    """`python server.py`: the main process and its generations, in a session of their own.

    `program` is the directory of the code, which can be a copy that is upgraded.
    """

    program = ROOT
    command: tuple[str, ...] = (*DEFAULT_SIGNALS, sys.executable, "server.py")

    def start(self, **environment: str) -> "Whole":
        super().start(**environment)
        wait_until(lambda: read_status(self.data_dir) is not None, what="the main process's word")
        return self

    def launch(self, arguments: list[str], log: IO[Any], environment: Mapping[str, str]) -> Launched:
        return Started(
            subprocess.Popen(
                [*self.command, *arguments],
                cwd=self.program,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        )

    def status(self) -> dict[str, Any]:
        found = read_status(self.data_dir)
        assert found is not None
        return found

    def ask_to_restart(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def restart(self) -> float:
        """SIGHUP, and wait until another generation serves; the seconds that it took to come up."""
        before = self.status()["generation"]
        self.ask_to_restart()
        wait_until(lambda: bool(self.status()["generation"] > before), what="another generation")
        return float(self.status()["last_restart"]["seconds"])

    def refused_restart(self) -> str:
        """SIGHUP, and wait until it was refused; the reason."""
        before = self.status()["last_restart"]
        self.ask_to_restart()
        wait_until(lambda: bool(self.status()["last_restart"] != before), what="the end of the try")
        assert self.status()["last_restart"]["outcome"] == "refused"
        return str(self.status()["last_restart"]["reason"])

    def events(self) -> list[str]:
        """What the log's lines tell, in order."""
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines() if line.endswith("}")]

    def end_group(self) -> None:
        """Nothing of it is left, however the test ended."""
        if self.process and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


Kind = TypeVar("Kind", bound=Whole)


@contextmanager
def whole(server: Kind, **environment: str) -> Iterator[Kind]:
    """The server for the length of a block."""
    try:
        server.start(**environment)
        yield server
        if server.process and server.process.poll() is None:
            assert server.stop() == 0
    finally:
        server.end_group()


class Broken(Exception):
    """A connection ended where a reply was due."""


@dataclass
class Met:
    """What clients met. `longest_wait`: the seconds from when a request was due to its answer. `back`: how many seconds
    after the restart each stream of events was there again.
    """

    answered: int = 0
    longest_wait: float = 0.0
    sent: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    following: int = 0


class Load:
    """Clients of one server, each at its own pace, until `stop` is set. What goes wrong is kept."""

    def __init__(self, server: Server, people: list[Person], *, requesters: int, pace: float) -> None:
        """`pace`: seconds from when one of the `requesters` is to ask to when it is to ask again, however long answers
        take: who is late asks at once, so that the load is the same on a slow server.
        """
        self.server = server
        self.people = people
        self.requesters = requesters
        self.pace = pace
        self.met = Met()
        self.stop = asyncio.Event()
        self.restarted_at = 0.0

    async def run(self, uploads: int, readers: int) -> None:
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(self._follow(self.people[n % len(self.people)])) for n in range(readers)]
            working = [group.create_task(self._ask(self.people[n % len(self.people)])) for n in range(self.requesters)]
            working += [group.create_task(self._upload(n)) for n in range(uploads)]
            await self.stop.wait()
            await asyncio.wait(working)
            await self.until(lambda: set(self.met.sent) <= self.met.seen, "the events of all that was sent")
            for each in following:
                each.cancel()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the clients have come to."""
        await asyncio.to_thread(wait_until, condition, what=what)

    async def answers(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.met.answered + count
        await self.until(lambda: self.met.answered >= wanted, f"{count} answers")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _ask(self, person: Person) -> None:
        """A request now and then, on a connection that is kept for a while."""
        head = f"GET /v1/inbox HTTP/1.1\r\nHost: x\r\nAuthorization: {person.basic}\r\n\r\n".encode()
        due = monotonic() + random.uniform(0, self.pace)
        while not self.stop.is_set():
            try:
                async with self._connected() as (reader, writer):
                    for _ in range(REQUESTS_PER_CONNECTION):
                        await asyncio.sleep(due - monotonic())
                        writer.write(head)
                        status, headers = await _reply(reader)
                        self._judge(status, 200)
                        self.met.answered += 1
                        self.met.longest_wait = max(self.met.longest_wait, monotonic() - due)
                        due += self.pace
                        if headers.get("connection") == "close" or reader.at_eof() or self.stop.is_set():
                            break
            except (OSError, Broken) as error:
                self.met.wrong.append(f"request: {error!r}")

    async def _upload(self, number: int) -> None:
        """Images one after the other, each sent slowly."""
        sender, receiver = self.people[number % len(self.people)], self.people[(number + 1) % len(self.people)]
        while not self.stop.is_set():
            body = form(receiver, jpeg(100_000 + number))
            lines = f"Authorization: {sender.basic}\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}"
            try:
                async with self._connected() as (reader, writer):
                    writer.write(
                        f"POST /v1/images HTTP/1.1\r\nHost: x\r\n{lines}\r\nConnection: close\r\n\r\n".encode()
                    )
                    step = len(body) // PIECES + 1
                    for start in range(0, len(body), step):
                        writer.write(body[start : start + step])
                        await writer.drain()
                        await asyncio.sleep(UPLOAD_SECONDS / PIECES)
                    status, headers = await _reply(reader)
                    self._judge(status, 201)
                    self.met.sent.append(headers["message-key"])
            except (OSError, Broken, KeyError) as error:
                self.met.wrong.append(f"upload: {error!r}")

    async def _follow(self, person: Person) -> None:
        """A stream of events, which goes on behind the last one whenever it ends."""
        last, began = 0, monotonic()
        while True:
            head = (
                f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {person.basic}\r\nLast-Event-ID: {last}"
            )
            try:
                async with self._connected() as (reader, writer):
                    writer.write(f"{head}\r\n\r\n".encode())
                    status, _ = await _head(reader)
                    self._judge(status, 200)
                    if self.restarted_at > began:
                        self.met.back.append(monotonic() - self.restarted_at)
                    began = monotonic()
                    self.met.following += 1
                    try:
                        last = await self._take(reader, last)
                    finally:
                        self.met.following -= 1
            except (OSError, Broken) as error:
                self.met.wrong.append(f"reader: {error!r}")

    async def _take(self, reader: asyncio.StreamReader, last: int) -> int:
        """The last event of a stream that has ended. Raises Broken where it was cut."""
        while line := await reader.readline():
            if line == b"0\r\n":
                return last
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                if event["id"] != last + 1:
                    self.met.wrong.append(f"event {event['id']} after {last}")
                last = event["id"]
                self.met.seen.add(event["data"].get("message_key", ""))
        raise Broken("a stream was cut")

    def _judge(self, status: int, wanted: int) -> None:
        if status != wanted:
            self.met.wrong.append(f"status {status}")


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError as error:
        raise Broken("no reply") from error
    first, *lines = head.split("\r\n")
    fields = (line.partition(": ") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value for name, _, value in fields}


async def _reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status, headers = await _head(reader)
    try:
        await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        raise Broken("half a reply") from error
    return status, headers
