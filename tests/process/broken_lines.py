# SPDX-License-Identifier: Apache-2.0
"""Uploads over lines that break again and again, and what their senders were told: for servers that die meanwhile."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.models.metadata.parts import EXIF_SEGMENT, removed
from tests.process.hostile_wire import by, reset
from tests.process.invariants import Told, rows
from tests.process.spoken import SPOKEN, Spoken
from tests.support import PATIENCE
from tests.support.harness import Person, Server, until_answered, wait_until
from tests.support.pictures import jpeg

SENDERS = 4
BYTES = 600_000
SMALL_UNTIL, SMALL, LARGE = 3_000, 400, 60_000
"""Most bytes between two breaks: few where the metadata are, so that lines break inside of them."""
OPEN = "SELECT upload_id, received, stored FROM uploads WHERE message_id IS NULL"


def break_off(
    person: Person, upload: str, offset: int, data: bytes, n_bytes: int, *, hard: bool, spoken: Spoken = SPOKEN[0]
) -> None:
    """Announce all of `data`, which is the rest, and send so much of it."""
    fields = {**spoken.piece(offset, done=True), "Content-Length": len(data), "Host": "x"}
    head = f"PATCH {upload} HTTP/1.1\r\n{by(person)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items())
    connection = person.server.connect()
    connection.sendall(head.encode() + b"\r\n" + data[:n_bytes])
    (reset if hard else type(connection).close)(connection)


class Loner(Person):
    """Whose every request has a connection of its own. One of `Server.client` is closed when a server has died, and a
    thread that was about to read from it could wait at a descriptor that is somebody else's by then.
    """

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        address = f"http://127.0.0.1:{self.server.port}{path}"
        return httpx.request(method, address, auth=self.auth, timeout=PATIENCE, trust_env=False, verify=False, **kwargs)


@dataclass
class Line:
    """One upload, as it came and as it is to be, and the farthest that its sender was told."""

    upload: str
    picture: bytes
    spoken: Spoken
    told: int = 0

    @property
    def cleaned(self) -> bytes:
        return removed(self.picture)


class BrokenLines:
    """Senders who ask after each break how far it is, and go on from there; each image in the next protocol."""

    def __init__(self, server: Server) -> None:
        ann, self.ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        self.ann = Loner(server, ann.uid, ann.ukey, ann.phone_hash)
        self.told = Told()
        self.breaks = 0
        self._lines: dict[str, Line] = {}
        self._spoken = itertools.cycle(SPOKEN)
        self._over = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """They send for the length of a block, and then each its last image to the end. Raises what a sender raised."""
        with ThreadPoolExecutor(SENDERS) as pool:
            under_way = [pool.submit(self._send_on) for _ in range(SENDERS)]
            try:
                yield
            finally:
                self._over.set()
        for each in under_way:
            each.result()

    def wait_for_progress(self) -> None:
        """Until some more lines broke."""
        goal = self.breaks + random.randint(20, 60)
        wait_until(lambda: self.breaks >= goal, what="progress")

    def check_files(self, data_dir: Path) -> None:
        """Of each upload what was told is in its row, and what the row says is in the file; for a server that is down.

        Raises AssertionError.
        """
        for upload_id, received, stored in rows(data_dir, OPEN):
            line = self._lines.get(f"/v1/uploads/{upload_id}")
            if line is None:
                continue  # its sender has not read yet that it is begun
            assert received >= line.told, f"{line.told} bytes were told, the row says {received}"
            file = data_dir / "images/.uploads" / upload_id
            kept = file.read_bytes()[:stored] if file.exists() else b""
            assert kept == line.cleaned[:stored], f"the row says {stored} bytes, {len(kept)} are there, or others"

    def _send_on(self) -> None:
        while not self._over.is_set():
            picture = jpeg(BYTES)
            line = self._begin(picture[:2] + EXIF_SEGMENT + picture[2:], next(self._spoken))
            while not self._over.is_set() and line.told < len(line.picture) - LARGE:
                most = SMALL if line.told < SMALL_UNTIL else LARGE
                with suppress(OSError):
                    rest, hard = line.picture[line.told :], random.random() < 0.5
                    n_bytes = random.randint(1, most)
                    break_off(self.ann, line.upload, line.told, rest, n_bytes, hard=hard, spoken=line.spoken)
                self._look(line)
            key = self._finish(line)
            with self._lock:
                self.told.accept(key, line.cleaned)

    def _begin(self, picture: bytes, spoken: Spoken) -> Line:
        begun = _answer(partial(spoken.begin, self.ann, self.ben, len(picture)))
        assert begun.status_code == 201, begun.text
        line = Line(begun.headers["Location"], picture, spoken)
        with self._lock:
            self._lines[line.upload] = line
        return line

    def _look(self, line: Line) -> None:
        looked = _answer(partial(line.spoken.look, self.ann, line.upload))
        assert looked.is_success, f"{line.told} bytes of an upload were told, and it is {looked.status_code}"
        self._tell(line, int(looked.headers["Upload-Offset"]))
        with self._lock:
            self.breaks += 1

    def _tell(self, line: Line, offset: int) -> None:
        assert offset >= line.told, f"{line.told} bytes of an upload were told, {offset} are left"
        line.told = offset

    def _finish(self, line: Line) -> str:
        begins = line.told
        while True:
            reply = _answer(partial(line.spoken.send_rest, self.ann, line.upload, line.picture, begins))
            assert reply.status_code in (line.spoken.ended, 409), reply.text
            if "Message-Key" in reply.headers:
                key: str = reply.headers["Message-Key"]
                return key
            self._tell(line, int(reply.headers["Upload-Offset"]))
            # Where all bytes are there and no image is, the last request is to be repeated as it was.
            begins = line.told if line.told < len(line.picture) else begins


def _answer(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Once there is one; that a server cannot just now is none."""

    def answered() -> httpx.Response:
        reply = ask()
        if reply.is_server_error:
            raise httpx.TransportError(reply.text)
        return reply

    return until_answered(answered)
