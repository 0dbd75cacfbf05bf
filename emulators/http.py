# SPDX-License-Identifier: Apache-2.0
"""What every emulator shares: a loopback server, faults on demand, a clock that can be moved on.

The control plane is under `/__`. Nothing here knows a vendor.
"""

import asyncio
import html
import json
import random
import socket
import struct
import time
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

FAULTS = ("502", "hang_before", "hang_after", "reset_before", "reset_after", "truncated", "redirect", "huge", "drip")


@dataclass(slots=True)
class Fault:
    """`kind` meets the `times` calls after the next `after`."""

    kind: str
    times: int = 1
    after: int = 0


@dataclass
class Faults:
    """Faults in order, and chances in percent: `fail` (502), `hang` (before anything is kept), `reset` (after)."""

    queue: deque[Fault] = field(default_factory=deque)
    chances: dict[str, float] = field(default_factory=dict)

    def next(self) -> str | None:
        """The fault that this call meets, if any."""
        if self.queue:
            return self._from_queue()
        drawn = random.uniform(0, 100)  # noqa: S311 - a test's dice
        for name, kind in (("fail", "502"), ("hang", "hang_before"), ("reset", "reset_after")):
            drawn -= self.chances.get(name, 0)
            if drawn < 0:
                return kind
        return None

    def _from_queue(self) -> str | None:
        fault = self.queue[0]
        if fault.after > 0:
            fault.after -= 1
            return None
        fault.times -= 1
        if fault.times <= 0:
            self.queue.popleft()
        return fault.kind


class Clock:
    """Milliseconds since the epoch, moved on by hand."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now(self) -> int:
        return _wall_clock() + self.ahead_ms

    def skew(self, timestamp: int) -> int:
        """How far a caller's clock is off: from this clock, or from the wall clock, which most callers go by."""
        off = timestamp - _wall_clock()
        return min(abs(off), abs(off - self.ahead_ms))


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class VendorHandler(RequestHandler):
    """A call as the vendor takes it. `reply` says what is answered; a fault may put itself before or after."""

    SUPPORTED_METHODS = ("GET", "POST", "DELETE")
    faults: Faults
    own_faults: tuple[str, ...] = ()

    async def answer(self) -> tuple[int, Any]:
        """Status and JSON document of this call."""
        raise NotImplementedError

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        """The vendor's own way to fail: one of `own_faults`."""
        raise NotImplementedError

    def answer_astray(self, status: int) -> tuple[int, Any] | None:  # noqa: ARG002 - most vendors tell them apart
        """What the vendor says to an address (404) or a method (405) that it does not have; None: a page."""
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        answer = self.answer_astray(status_code) if status_code in (404, 405) else None
        if answer is None:
            super().write_error(status_code, **kwargs)
        else:
            self._write_json(*answer)

    async def post(self, *_: str) -> None:
        kind = self.faults.next()
        if kind in self.own_faults:
            self._write_json(*await self.answer_fault(kind or ""))
        elif kind in {"502", "redirect", "huge"}:
            self._misbehave(kind or "")
        elif kind == "hang_before":
            await self._hang()
        elif kind == "reset_before":
            self._reset()
        else:
            await self._answer_then(kind)

    async def _answer_then(self, kind: str | None) -> None:
        status, document = await self.answer()
        if kind == "hang_after":
            await self._hang()
        elif kind == "reset_after":
            self._reset()
        elif kind == "drip":
            await self._drip()
        elif kind == "truncated":
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(document)[:-2])
        else:
            self._write_json(status, document)

    def _write_json(self, status: int, document: Any) -> None:
        self.set_status(status)
        if status == 204:
            self.finish()
            return
        self.set_header("Content-Type", "application/json;charset=utf-8")
        self.finish(json.dumps(document))

    def _misbehave(self, kind: str) -> None:
        if kind == "redirect":
            self.redirect("/__redirected")
            return
        self.set_status(502 if kind == "502" else 200)
        self.finish("<html><body>Bad gateway</body></html>" if kind == "502" else b" " * 1_000_000)

    async def _hang(self) -> None:
        """Say nothing until the caller goes away."""
        self._gone = asyncio.Event()
        await self._gone.wait()

    async def _drip(self) -> None:
        """Send a byte now and then, and never an end."""
        self._gone = asyncio.Event()
        self.set_header("Content-Length", "60000")
        while not self._gone.is_set():
            self.write(b" ")
            await self.flush()
            await asyncio.sleep(0.02)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if hasattr(self, "_gone"):
            self._gone.set()

    def _reset(self) -> None:
        """Break the connection with an RST."""
        self._auto_finish = False  # there is nothing left to finish
        stream = self.request.connection.detach()  # type: ignore[union-attr]
        assert isinstance(stream, IOStream)
        if not stream.closed():  # the caller may be gone already
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()


class State(Protocol):
    """What every emulator keeps. `inbox` is what each target received, oldest first."""

    faults: Faults
    clock: Clock
    inbox: dict[str, list[dict[str, Any]]]


class ControlHandler(RequestHandler):
    """The control plane: JSON in, JSON out. `GET` one of `shown`; `POST` to a method that begins with `_set_`."""

    state: State
    own_faults: tuple[str, ...] = ()

    def initialize(self, state: State) -> None:
        self.state = state

    def shown(self) -> dict[str, Any]:
        """What can be read, by name."""
        return {"inbox": self.state.inbox}

    def get(self, name: str) -> None:
        found = self.shown()
        if name in found:
            self.answer(found[name])
        else:
            self.refuse(404, f"there is no {name}, only {', '.join(found)}")

    def post(self, name: str) -> None:
        change = getattr(self, f"_set_{name}", None)
        if change is None:
            self.refuse(404, f"there is no {name}")
            return
        try:
            change(**self.arguments())
        except (TypeError, ValueError) as error:
            self.refuse(400, str(error))
            return
        self.answer({"ok": True})

    def _set_fault(self, kind: str, times: int = 1, after: int = 0) -> None:
        kinds = FAULTS + self.own_faults
        if kind not in kinds:
            raise ValueError(f"kind is one of {', '.join(kinds)}")
        self.state.faults.queue.append(Fault(kind, int(times), int(after)))

    def _set_chances(self, fail: float = 0, hang: float = 0, reset: float = 0) -> None:
        self.state.faults.chances = {"fail": float(fail), "hang": float(hang), "reset": float(reset)}

    def _set_clock(self, advance_ms: int) -> None:
        self.state.clock.ahead_ms += int(advance_ms)

    def arguments(self) -> dict[str, Any]:
        """The JSON object that was sent. Raises ValueError for anything else."""
        document = json.loads(self.request.body or b"{}")
        if not isinstance(document, dict):
            raise ValueError("the body is no JSON object")
        return document

    def answer(self, document: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(document, ensure_ascii=False, indent=1) + "\n")

    def refuse(self, status: int, reason: str) -> None:
        self.set_status(status)
        self.answer({"error": reason})


class PageHandler(RequestHandler):
    """A plain page of what each target received."""

    def initialize(self, state: State, title: str) -> None:
        self.state = state
        self.title = title

    async def get(self) -> None:
        await write_page(self, self.state, self.title)


async def write_page(handler: RequestHandler, state: State, title: str) -> None:
    """Answer with a page of what each target received, newest first, with the pictures that a phone would show."""
    received = [(item.get("at", 0), target, item) for target, items in state.inbox.items() for item in items]
    received.sort(key=lambda one: -one[0])
    pictures = await asyncio.gather(*(_picture(item) for _, _, item in received[:PICTURES]))
    shown = [*pictures, *([""] * len(received[PICTURES:]))]
    rows = "".join(_row(*one, picture) for one, picture in zip(received, shown, strict=True))
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)} emulator</title>{STYLE}"
    count = f"<p>{len(received)} in all, newest first. <a href=/__inbox>As JSON</a>"
    handler.finish(f"{head}<h1>{html.escape(title)}: received</h1>{count}<table><tr><th>at<th>to<th>what{rows}</table>")


PICTURES = 20
"""So many notifications are shown with their pictures: each is fetched again when the page is."""
PICTURE_SECONDS = 5.0
STYLE = (
    "<style>body{font-family:sans-serif}td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}"
    "pre{margin:0;white-space:pre-wrap;word-break:break-all}</style>"
)


async def _picture(item: dict[str, Any]) -> str:
    """The preview that a notification names, fetched as an app does that was woken by it; nothing where it names none.

    APNs' fields stand in `payload`, FCM's in `data`.
    """
    fields = item.get("payload") or item.get("data")
    url = fields.get("thumbnail_url") if isinstance(fields, dict) else None
    if not isinstance(url, str):
        return ""
    try:
        reply = await AsyncHTTPClient().fetch(url, request_timeout=PICTURE_SECONDS, follow_redirects=False)
    except (HTTPClientError, OSError, ValueError) as error:
        return f"<p>no picture: {html.escape(str(error))}"
    kind = html.escape(reply.headers.get("Content-Type", ""))
    return f'<p><img alt="preview" src="data:{kind};base64,{b64encode(reply.body).decode()}">'


def _row(at: int, target: str, item: dict[str, Any], picture: str) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(at / 1000))
    what = json.dumps({name: value for name, value in item.items() if name != "at"}, ensure_ascii=False, indent=1)
    return f"<tr><td>{when}<td><pre>{html.escape(target)}</pre><td><pre>{html.escape(what)}</pre>{picture}"


def listen(application: Application, host: str, port: int) -> tuple[HTTPServer, str]:
    """Serve on host and port (0: a free one); the server and its URL."""
    sockets = bind_sockets(port, host)
    server = HTTPServer(application)
    server.add_sockets(sockets)
    return server, f"http://{host}:{sockets[0].getsockname()[1]}"


@asynccontextmanager
async def serving(application: Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The application on a socket for as long as the block runs; its URL."""
    server, url = listen(application, host, port)
    try:
        yield url
    finally:
        server.stop()
        await server.close_all_connections()
