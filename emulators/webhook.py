# SPDX-License-Identifier: Apache-2.0
"""A stand-in for whoever takes webhooks: it checks each as Standard Webhooks 1.0.0 asks, and keeps it.

As a process: `python -m emulators webhook`. In a test: `async with running() as webhook:`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve, with_chances

# Public, and for tests only: that of the specification's own example.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
TOLERANCE_SECONDS = 300
BODY_BYTES = 20_000
STATES = ("open", "gone")
ERRORS = {
    "400": "bad request",
    "401": "signature refused",
    "404": "not found",
    "410": "gone",
    "413": "too large",
    "429": "too many requests",
    "500": "internal error",
    "503": "unavailable",
    "504": "timed out upstream",
}
OWN_FAULTS = tuple(ERRORS)
PATH = "/hook/"


class Refused(Exception):
    """The receiver says no: a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer = (status, {"error": reason})


@dataclass
class WebhookState:
    """One receiver with any number of hooks under one secret."""

    secret: str = field(default=SECRET, repr=False)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    hooks: dict[str, str] = field(default_factory=dict)
    retry_after: int = 120
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ids: set[tuple[str, str]] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def receive(self, hook: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a webhook; one whose id was here before only counts. Raises Refused."""
        if self.hooks.get(hook, "open") == "gone":
            raise Refused(410, "gone")
        message_id = self._verify(headers, body)
        if len(body) > BODY_BYTES:
            raise Refused(413, f"the body is over {BODY_BYTES} bytes")
        try:
            document = json.loads(body)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        if (hook, message_id) in self.ids:
            self.repeated[message_id] += 1
            return
        self.ids.add((hook, message_id))
        item = {"at": self.clock.now(), "webhook_id": message_id, "body": document}
        self.inbox.setdefault(hook, []).append(item)

    def _verify(self, headers: Mapping[str, str], body: bytes) -> str:
        message_id, timestamp, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (message_id and timestamp and given):
            raise Refused(401, "webhook-id, webhook-timestamp or webhook-signature is missing")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise Refused(401, "webhook-timestamp is no number of seconds")
        if self.clock.skew(1000 * int(timestamp)) > 1000 * TOLERANCE_SECONDS:
            raise Refused(401, "webhook-timestamp is more than five minutes off")
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
        wanted = b"v1," + base64.b64encode(signed)
        if not any(hmac.compare_digest(one.encode(), wanted) for one in given.split(" ")):
            raise Refused(401, "no signature matches")
        return message_id


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens: where, and all that it knows."""

    url: str
    state: WebhookState

    def hook(self, name: str) -> str:
        """The address of a hook."""
        return f"{self.url}{PATH}{name}"


class HookHandler(VendorHandler):
    """One webhook."""

    own_faults = OWN_FAULTS

    def initialize(self, state: WebhookState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        hook = self.path_args[0]
        self.state.calls[hook] += 1
        try:
            self.state.receive(hook, self.request.headers, self.request.body)
        except Refused as refused:
            self.state.violations.append(f"{hook}: {refused}")
            return refused.answer
        return 200, {"ok": True}

    def answer_astray(self, status: int) -> tuple[int, Any]:
        return status, {"error": "method not allowed"}

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls[self.path_args[0]] += 1
        if kind in {"429", "503"}:
            self.set_header("Retry-After", str(self.state.retry_after))
        return int(kind), {"error": ERRORS[kind]}


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        self.set_status(404)
        self.finish({"error": "not found"})


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: WebhookState
    own_faults = OWN_FAULTS

    def shown(self) -> dict[str, Any]:
        state = self.state
        hook = self.get_query_argument("hook", None)
        return {
            "inbox": state.inbox if hook is None else state.inbox.get(hook, []),
            "violations": state.violations,
            "calls": state.calls,
            "repeated": state.repeated,
        }

    def _set_hook(self, hook: str, state: str) -> None:
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}")
        self.state.hooks[hook] = state

    def _set_retry_after(self, seconds: int) -> None:
        self.state.retry_after = int(seconds)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(WebhookState(self.state.secret)))


def application(state: WebhookState) -> Application:
    own: dict[str, Any] = {"state": state}
    return Application(
        [
            (rf"{PATH}([^/]+)", HookHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Webhook"}),
        ],
        default_handler_class=UnknownHandler,
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(secret: str = SECRET) -> AsyncIterator[Running]:
    """An emulator on a free port of loopback for as long as the block runs."""
    state = WebhookState(secret)
    async with serving(application(state)) as url:
        yield Running(url, state)


@click.command("webhook")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
@click.option("--secret", default=SECRET, help="whsec_ and base64")
@with_chances("webhooks")
def command(*, host: str, port: int, secret: str, chances: dict[str, float]) -> None:
    """Emulate a receiver of webhooks until interrupted."""
    state = WebhookState(secret)
    state.faults.chances = chances
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, state)))


async def start(host: str, ports: Iterator[int], state: WebhookState | None = None) -> Started:
    """Listen on the next port."""
    state = state or WebhookState()
    _, url = listen(application(state), host, next(ports))
    push = {"allow_endpoints": [url], "webhook": {"secret": state.secret}}
    return Started("Webhook", url, {"push": push})
