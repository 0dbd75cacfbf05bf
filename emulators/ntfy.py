# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an ntfy server, and for any UnifiedPush distributor: topics that take messages.

As a process: `python -m emulators ntfy`. In a test: `async with running() as ntfy:`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.http import ControlHandler, VendorHandler, listen, serving, write_page
from emulators.ntfy_rules import ERRORS, Gone, NtfyState, Refused, first_of
from emulators.starting import Started, serve, with_chances

OWN_FAULTS = tuple(map(str, ERRORS))
NOWHERE = (404, {"code": 40401, "http": 404, "error": "page not found"})


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

    async def get(self, *path: str) -> None:
        [topic] = path
        if self.get_query_argument("up", "") != "1":
            self.redirect(f"/{topic}/json?poll=1")
            return
        self._write_json(200, {"unifiedpush": {"version": 1}})

    async def put(self, *path: str) -> None:
        await self.post(*path)

    def answer_astray(self, status: int) -> tuple[int, Any]:  # noqa: ARG002 - to ntfy a method is part of the address
        return NOWHERE

    async def answer(self) -> tuple[int, Any]:
        self.state.calls["publish"] += 1
        try:
            return 200, self._publish(self.request.headers.get("Authorization", ""))
        except (Refused, Gone) as refused:
            self.state.violations.append(f"{self.request.path}: {refused}")
            return refused.answer

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls["publish"] += 1
        if self.state.retry_after is not None:
            self.set_header("Retry-After", str(self.state.retry_after))
        return Refused(int(kind)).answer

    def _publish(self, authorization: str) -> dict[str, Any]:
        return self.state.publish(self.path_args[0], self.request.body, authorization, self._read)

    def _read(self, name: str) -> str:
        """A value by its name, in UTF-8 or encoded as RFC 2047 says; who sends it encrypted means UnifiedPush."""
        headers, query = self.request.headers, self.request.query_arguments
        if name == "up" and headers.get("Content-Encoding") == "aes128gcm":
            return "1"
        text = first_of(name, headers, {key.lower(): values[0].decode("latin-1") for key, values in query.items()})
        text = text.encode("latin-1").decode("utf-8", "replace")
        try:
            return str(make_header(decode_header(text)))
        except (LookupError, HeaderParseError):
            return text


class GetHandler(TopicHandler):
    """`GET /{topic}/publish`, `/send` and `/trigger`: publish what the query says."""

    async def get(self, *path: str) -> None:
        await self.post(*path)


class RootHandler(TopicHandler):
    """`POST /`: publish a document. `GET /`: the page."""

    def initialize(self, state: NtfyState, title: str) -> None:  # type: ignore[override]  # it has a page too
        super().initialize(state)
        self.title = title

    async def get(self, *_: str) -> None:
        await write_page(self, self.state, self.title)

    def _publish(self, authorization: str) -> dict[str, Any]:
        return self.state.publish_json(self.request.body, authorization, self._read)


class PollHandler(RequestHandler):
    """`GET /{topic}/json?poll=1`, or of several topics with commas: what was published, one document per line."""

    def initialize(self, state: NtfyState) -> None:
        self.state = state

    def get(self, topics: str) -> None:
        self.set_header("Content-Type", "application/x-ndjson")
        found = [item for topic in topics.split(",") for item in self.state.inbox.get(topic, [])]
        for item in sorted(found, key=lambda item: int(item["at"])):
            self.write(json.dumps({name: value for name, value in item.items() if name != "at"}) + "\n")


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        status, document = NOWHERE
        self.set_status(status)
        self.finish(document)


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

    def _set_gone(self, topic: str, *, on: bool) -> None:
        (self.state.gone.add if on else self.state.gone.discard)(topic)

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
            (r"/([^/]+)/(?:publish|send|trigger)", GetHandler, own),
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
@with_chances("messages")
def command(*, host: str, port: int, chances: dict[str, float]) -> None:
    """Emulate an ntfy server until interrupted."""
    state = NtfyState()
    state.faults.chances = chances
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, state)))


async def start(host: str, ports: Iterator[int], state: NtfyState | None = None) -> Started:
    """Listen on the next port."""
    _, url = listen(application(state or NtfyState()), host, next(ports))
    return Started("ntfy", url, {"push": {"allow_endpoints": [url]}})
