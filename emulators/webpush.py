# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a browser and its push service: it hands out subscriptions, and reads what is pushed to them.

As a process: `python -m emulators webpush`. In a test: `async with running() as webpush:`.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from emulators.http import ControlHandler, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve, with_chances
from emulators.webpush_rules import ERRORS, Browser, Refused, WebpushState

OWN_FAULTS = tuple(ERRORS)
PATH = "/wpush/v2/"


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens: where, and all that it knows."""

    url: str
    state: WebpushState

    def subscribe(self, application_server_key: str = "") -> tuple[str, dict[str, Any]]:
        """The id of a new subscription, and the object that its browser would give."""
        name, browser = self.state.subscribe(application_server_key)
        return name, subscription_object(self.url, name, browser)


class PushHandler(VendorHandler):
    """One push to one subscription."""

    own_faults = OWN_FAULTS

    def initialize(self, state: WebpushState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        name = self.path_args[0]
        origin = origin_of(self.request)
        self.state.calls["push"] += 1
        try:
            item = self.state.push(name, origin, self.request.headers, self.request.body)
        except Refused as refused:
            self.state.violations.append(f"{name}: {refused}")
            return refused.answer
        self.set_header("Location", f"{origin}/m/{item['message_id']}")
        self.set_header("TTL", str(item["ttl"]))
        return 201, None

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls["push"] += 1
        if kind in {"406", "429", "503"}:
            self.set_header("Retry-After", str(self.state.retry_after))
        return Refused(kind).answer

    def _write_json(self, status: int, document: Any) -> None:
        if document is not None:
            super()._write_json(status, document)
        else:
            self.set_status(status)
            self.finish()


class SubscribeHandler(RequestHandler):
    """`POST /subscribe`: what `PushManager.subscribe()` gives a web page, with fresh keys."""

    def initialize(self, state: WebpushState) -> None:
        self.state = state

    def post(self) -> None:
        try:
            document = json.loads(self.request.body or b"{}")
            key = document.get("applicationServerKey", "")
            name, browser = self.state.subscribe(str(key))
        except (ValueError, AttributeError):
            self.set_status(400)
            self.finish({"error": "applicationServerKey is not the base64url of a point on P-256"})
            return
        self.set_status(201)
        self.finish(subscription_object(origin_of(self.request), name, browser))


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        status, document = Refused("404").answer
        self.set_status(status)
        self.finish(document)


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: WebpushState
    own_faults = OWN_FAULTS

    def shown(self) -> dict[str, Any]:
        state = self.state
        name = self.get_query_argument("id", None)
        return {
            "inbox": state.inbox if name is None else state.inbox.get(name, []),
            "violations": state.violations,
            "calls": state.calls,
            "repeated": state.repeated,
            "subscriptions": {name: browser.state for name, browser in state.browsers.items()},
        }

    def _set_subscription(self, id: str, state: str) -> None:  # noqa: A002 - the field's name
        self.state.set_state(id, state)

    def _set_require_subject(self, *, on: bool) -> None:
        self.state.require_subject = bool(on)

    def _set_retry_after(self, seconds: int) -> None:
        self.state.retry_after = int(seconds)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(WebpushState()))


def subscription_object(origin: str, name: str, browser: Browser) -> dict[str, Any]:
    """As `JSON.stringify(subscription)` writes it."""
    keys = {"p256dh": _base64url(browser.public), "auth": _base64url(browser.auth)}
    return {"endpoint": f"{origin}{PATH}{name}", "expirationTime": None, "keys": keys}


def origin_of(request: HTTPServerRequest) -> str:
    """Ours, as the caller knows it."""
    return f"{request.protocol}://{request.host}"


def application(state: WebpushState) -> Application:
    own: dict[str, Any] = {"state": state}
    return Application(
        [
            (rf"{PATH}([^/]+)", PushHandler, own),
            (r"/subscribe", SubscribeHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Web Push"}),
        ],
        default_handler_class=UnknownHandler,
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """An emulator on a free port of loopback for as long as the block runs."""
    state = WebpushState()
    async with serving(application(state)) as url:
        yield Running(url, state)


@click.command("webpush")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
@with_chances("pushes")
def command(*, host: str, port: int, chances: dict[str, float]) -> None:
    """Emulate a browser's push service until interrupted."""
    state = WebpushState()
    state.faults.chances = chances
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, state)))


async def start(host: str, ports: Iterator[int], state: WebpushState | None = None) -> Started:
    """Listen on the next port."""
    _, url = listen(application(state or WebpushState()), host, next(ports))
    push = {"allow_endpoints": [url], "webpush": {"subject": "mailto:you@example.org"}}
    return Started("Web Push", url, {"push": push})


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
