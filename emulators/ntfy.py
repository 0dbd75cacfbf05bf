# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an ntfy server, and for any UnifiedPush distributor: topics that take messages.

As a process: `python -m emulators ntfy`. In a test: `async with running() as ntfy:`.
"""

import asyncio
import base64
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

MESSAGE_BYTES = 4096
JSON_BYTES = 2 * MESSAGE_BYTES
KEPT_SECONDS = 43_200
TOPIC = "[-_A-Za-z0-9]{1,64}"
RESERVED = {"docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1"}
FIELDS = {
    "topic",
    "message",
    "title",
    "tags",
    "priority",
    "actions",
    "click",
    "attach",
    "markdown",
    "icon",
    "filename",
    "delay",
    "email",
    "call",
}
ERRORS = {
    40007: "invalid request: priority invalid",
    40009: "invalid request: topic invalid",
    40010: "invalid request: topic name is not allowed",
    40011: "invalid message: message must be UTF-8 encoded",
    40014: "invalid request: attachments not allowed",
    40017: "invalid request: request body must be message JSON",
    40101: "unauthorized",
    40301: "forbidden",
    41301: "attachment too large, or bandwidth limit reached",
    41303: "JSON body too large",
    42901: "limit reached: too many requests",
    42904: "limit reached: too many emails",
    42905: "limit reached: daily bandwidth reached",
    42908: "limit reached: daily message quota reached",
    42909: "limit reached: too many auth failures",
    50001: "internal server error",
    50701: "cannot publish to UnifiedPush topic without previously active subscriber",
}
OWN_FAULTS = tuple(map(str, ERRORS))


class Refused(Exception):
    """The server says no."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        status = code // 100
        self.answer = (status, {"code": code, "http": status, "error": ERRORS[code], "link": "https://ntfy.sh/docs/"})


@dataclass
class NtfyState:
    """One emulated server. `tokens` are what closed topics ask for; `deserted` topics never had a subscriber."""

    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, str] = field(default_factory=dict)
    deserted: set[str] = field(default_factory=set)
    retry_after: int | None = None
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def publish(self, topic: str, message: bytes, authorization: str, *, unified: bool) -> dict[str, Any]:
        """Keep a message and describe it. Raises Refused."""
        if not re.fullmatch(TOPIC, topic):
            raise Refused(40009)
        if topic in RESERVED:
            raise Refused(40010)
        self._check_token(topic, authorization)
        if unified and topic in self.deserted:
            raise Refused(50701)
        if len(message) > MESSAGE_BYTES:
            raise Refused(40014)
        try:
            text = {"message": message.decode() or "triggered"}
        except UnicodeDecodeError:
            if not unified:
                raise Refused(40014) from None
            text = {"message": base64.b64encode(message).decode(), "encoding": "base64"}
        return self.keep(topic, text)

    def publish_json(self, body: bytes, authorization: str) -> dict[str, Any]:
        """`POST /`: the topic stands in the document. Raises Refused."""
        if len(body) > JSON_BYTES:
            raise Refused(41303)
        try:
            document = json.loads(body)
            topic, text = document["topic"], document.get("message") or "triggered"
            if not isinstance(text, str) or set(document) - FIELDS or not re.fullmatch(TOPIC, topic):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(40017) from None
        if topic in RESERVED:
            raise Refused(40010)
        self._check_token(topic, authorization)
        if document.get("priority", 3) not in range(1, 6):
            raise Refused(40007)
        if len(text.encode()) > MESSAGE_BYTES:
            raise Refused(40014)
        return self.keep(topic, document | {"message": text})

    def keep(self, topic: str, message: dict[str, Any]) -> dict[str, Any]:
        now = self.clock.now()
        found = {
            "id": secrets.token_urlsafe(9),
            "time": now // 1000,
            "expires": now // 1000 + KEPT_SECONDS,
            "event": "message",
            "topic": topic,
        } | message
        self.inbox.setdefault(topic, []).append(found | {"at": now})
        return found

    def _check_token(self, topic: str, authorization: str) -> None:
        wanted = self.tokens.get(topic)
        if wanted and not authorization:
            raise Refused(40301)
        if wanted and not secrets.compare_digest(authorization.encode(), f"Bearer {wanted}".encode()):
            raise Refused(40101)


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens: where, and all that it knows."""

    url: str
    state: NtfyState


class TopicHandler(VendorHandler):
    """`POST` and `PUT /{topic}`: publish the body. `GET /{topic}?up=1`: whether this is a UnifiedPush server."""

    SUPPORTED_METHODS = ("GET", "POST", "PUT")
    own_faults = OWN_FAULTS

    def initialize(self, state: NtfyState) -> None:
        self.state = state
        self.faults = state.faults

    def get(self, topic: str) -> None:
        if self.get_query_argument("up", "") != "1":
            self.redirect(f"/{topic}/json?poll=1")
            return
        self._write_json(200, {"unifiedpush": {"version": 1}})

    async def put(self, *path: str) -> None:
        await self.post(*path)

    async def answer(self) -> tuple[int, Any]:
        self.state.calls["publish"] += 1
        try:
            return 200, self._publish(self.request.headers.get("Authorization", ""))
        except Refused as refused:
            self.state.violations.append(f"{self.request.path}: {refused}")
            return refused.answer

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls["publish"] += 1
        if self.state.retry_after is not None:
            self.set_header("Retry-After", str(self.state.retry_after))
        return Refused(int(kind)).answer

    def _publish(self, authorization: str) -> dict[str, Any]:
        unified = self.get_query_argument("up", "") == "1" or self.request.headers.get("X-UnifiedPush") == "1"
        return self.state.publish(self.path_args[0], self.request.body, authorization, unified=unified)


class RootHandler(TopicHandler, PageHandler):  # type: ignore[misc]  # one state
    """`POST /`: publish a document. `GET /`: the page."""

    def initialize(self, state: NtfyState, title: str) -> None:  # type: ignore[override]  # it is both
        PageHandler.initialize(self, state, title)
        self.faults = state.faults

    def get(self) -> None:  # type: ignore[override]
        PageHandler.get(self)

    def _publish(self, authorization: str) -> dict[str, Any]:
        return self.state.publish_json(self.request.body, authorization)


class PollHandler(RequestHandler):
    """`GET /{topic}/json?poll=1`: what was published, one document per line."""

    def initialize(self, state: NtfyState) -> None:
        self.state = state

    def get(self, topic: str) -> None:
        self.set_header("Content-Type", "application/x-ndjson")
        for item in self.state.inbox.get(topic, []):
            self.write(json.dumps({name: value for name, value in item.items() if name != "at"}) + "\n")


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        self.set_status(404)
        self.finish({"code": 40401, "http": 404, "error": "page not found"})


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: NtfyState
    own_faults = OWN_FAULTS

    def shown(self) -> dict[str, Any]:
        state = self.state
        topic = self.get_query_argument("topic", None)
        return {
            "inbox": state.inbox if topic is None else state.inbox.get(topic, []),
            "violations": state.violations,
            "calls": state.calls,
        }

    def _set_token(self, topic: str, token: str) -> None:
        self.state.tokens[topic] = token

    def _set_deserted(self, topic: str, *, on: bool) -> None:
        (self.state.deserted.add if on else self.state.deserted.discard)(topic)

    def _set_retry_after(self, seconds: int) -> None:
        self.state.retry_after = int(seconds)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(NtfyState()))


def application(state: NtfyState) -> Application:
    own: dict[str, Any] = {"state": state}
    return Application(
        [
            (r"/__([a-z_]+)", Control, own),
            (r"/([^/]+)", TopicHandler, own),
            (r"/([^/]+)/json", PollHandler, own),
            (r"/", RootHandler, own | {"title": "ntfy"}),
        ],
        default_handler_class=UnknownHandler,
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """An emulator on a free port of loopback for as long as the block runs."""
    state = NtfyState()
    async with serving(application(state)) as url:
        yield Running(url, state)


@click.command("ntfy")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
@click.option("--fail", default=0.0, help="percent of the messages answered 502")
@click.option("--hang", default=0.0, help="percent never answered")
@click.option("--reset", default=0.0, help="percent kept, then cut off")
def command(*, host: str, port: int, fail: float, hang: float, reset: float) -> None:
    """Emulate an ntfy server until interrupted."""
    state = NtfyState()
    state.faults.chances = {"fail": fail, "hang": hang, "reset": reset}
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, state)))


async def start(host: str, ports: Iterator[int], state: NtfyState | None = None) -> Started:
    """Listen on the next port."""
    _, url = listen(application(state or NtfyState()), host, next(ports))
    return Started("ntfy", url, {"push": {"allow_endpoints": [url]}})
