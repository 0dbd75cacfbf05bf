# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Firebase Cloud Messaging, HTTP v1, and for the token endpoint of its service accounts.

As a process: `python -m emulators fcm`. In a test: `async with running() as fcm:`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.fcm_message import Refused, bad_field, error
from emulators.fcm_rules import MALFORMED, STATES, FcmState, Keys
from emulators.http import ControlHandler, PageHandler, VendorHandler, listen, serving
from emulators.keys import kept, rsa_key, write
from emulators.starting import KEYS_DIRECTORY, Started, serve, with_chances

RETRY_SECONDS = "2"
# The vendor's own ways to fail, and whether Retry-After is with them.
FAILURES: dict[str, tuple[Refused, bool]] = {
    "401": (error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), False),
    "403": (error(403, "PERMISSION_DENIED", "Firebase Cloud Messaging API has not been used"), False),
    "404": (error(404, "NOT_FOUND", "Requested entity was not found."), False),
    "RESOURCE_EXHAUSTED": (error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for 'Send requests per minute'"), False),
    "429": (error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", code="QUOTA_EXCEEDED"), False),
    "503": (error(503, "UNAVAILABLE", "The service is currently unavailable.", code="UNAVAILABLE"), False),
    "QUOTA_EXCEEDED": (error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", code="QUOTA_EXCEEDED"), True),
    "UNAVAILABLE": (error(503, "UNAVAILABLE", "The service is currently unavailable.", code="UNAVAILABLE"), True),
    "INTERNAL": (error(500, "INTERNAL", "Internal error encountered.", code="INTERNAL"), False),
    "UNREGISTERED": (error(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED"), False),
    "INVALID_ARGUMENT": (bad_field("message.android.ttl", "Invalid duration"), False),
    "MALFORMED_TOKEN": (error(400, "INVALID_ARGUMENT", MALFORMED, code="INVALID_ARGUMENT"), False),
    "SENDER_ID_MISMATCH": (error(403, "PERMISSION_DENIED", "SenderId mismatch", code="SENDER_ID_MISMATCH"), False),
    "THIRD_PARTY_AUTH_ERROR": (
        error(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", code="THIRD_PARTY_AUTH_ERROR"),
        False,
    ),
}
ENDS_TOKENS = "401"


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens: where, and all that it knows."""

    url: str
    state: FcmState


class SendHandler(VendorHandler):
    """`POST /v1/projects/{project_id}/messages:send`."""

    own_faults = tuple(FAILURES)

    def initialize(self, state: FcmState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        self.state.calls["send"] += 1
        try:
            self.state.check_access(self.request.headers.get("Authorization", ""))
            return self.state.push(self.path_args[0], self.request.body)
        except Refused as refused:
            self.state.violations.append(str(refused))
            return refused.answer

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls["send"] += 1
        if kind == ENDS_TOKENS:
            self.state.access_tokens.clear()
        refused, with_retry_after = FAILURES[kind]
        if with_retry_after:
            self.set_header("Retry-After", RETRY_SECONDS)
        return refused.answer


class TokenHandler(SendHandler):
    """`POST /token`, which meets no queued fault, so that a test can aim at pushes."""

    async def post(self, *_: str) -> None:
        self.state.calls["token"] += 1
        grant, assertion = (self.get_body_argument(name, "") for name in ("grant_type", "assertion"))
        try:
            self._write_json(*self.state.sign_in(grant, assertion))
        except Refused as refused:
            self.state.violations.append(str(refused))
            self._write_json(*refused.answer)


class TopicHandler(SendHandler):
    """`POST …/registrations/{token}/topicSubscriptions?topic_name=` and `DELETE …/topicSubscriptions/{topic}`."""

    async def post(self, *_: str) -> None:
        self._subscribe(self.get_query_argument("topic_name", ""), on=True)

    async def delete(self, *_: str) -> None:
        self._subscribe(self.path_args[2], on=False)

    def _subscribe(self, topic: str, *, on: bool) -> None:
        try:
            self.state.check_access(self.request.headers.get("Authorization", ""))
            self._write_json(*self.state.subscribe(self.path_args[1], topic, on=on))
        except Refused as refused:
            self._write_json(*refused.answer)


class BatchTopicHandler(SendHandler):
    """`POST /iid/v1:batchAdd` and `:batchRemove` of iid.googleapis.com."""

    async def post(self, *_: str) -> None:
        try:
            self.state.check_access(self.request.headers.get("Authorization", ""))
            self._write_json(*self.state.subscribe_many(self.request.body, on=self.path_args[0] == "Add"))
        except Refused as refused:
            self._write_json(*refused.answer)
        except (ValueError, KeyError, TypeError):
            self._write_json(400, {"error": "InvalidRequest"})


class UnknownHandler(RequestHandler):
    """Any other address: a page, as Google's."""

    def prepare(self) -> None:
        self.set_status(404)
        self.finish("<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>")


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: FcmState
    own_faults = tuple(FAILURES)

    def shown(self) -> dict[str, Any]:
        state = self.state
        token = self.get_query_argument("token", None)
        return {
            "inbox": state.inbox if token is None else state.inbox.get(token, []),
            "violations": state.violations,
            "calls": state.calls,
            "topics": {topic: sorted(tokens) for topic, tokens in state.topics.items()},
        }

    def _set_token(self, token: str, state: str) -> None:
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}")
        self.state.targets[token] = state

    def _set_strict(self, *, on: bool) -> None:
        self.state.strict = bool(on)

    def _set_token_seconds(self, seconds: int) -> None:
        self.state.token_seconds = int(seconds)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(FcmState(self.state.keys, token_url=self.state.token_url)))


def application(state: FcmState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/token", TokenHandler, own),
            (r"/v1/projects/([^/]+)/messages:send", SendHandler, own),
            (r"/v1/projects/([^/]+)/registrations/([^/]+)/topicSubscriptions(?:/([^/]+))?", TopicHandler, own),
            (r"/iid/v1:batch(Add|Remove)", BatchTopicHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "FCM"}),
        ],
        default_handler_class=UnknownHandler,
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[Running]:
    """An emulator on a free port of loopback for as long as the block runs."""
    state = FcmState(keys or Keys())
    async with serving(application(state)) as url:
        state.token_url = f"{url}/token"
        yield Running(url, state)


@click.command("fcm")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
@click.option("--keys", default=str(KEYS_DIRECTORY), show_default=True, help="directory for the service account's file")
@with_chances("pushes")
def command(*, host: str, port: int, keys: str, chances: dict[str, float]) -> None:
    """Emulate FCM until interrupted."""
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, Path(keys), chances)))


async def start(
    host: str, ports: Iterator[int], directory: Path = KEYS_DIRECTORY, chances: dict[str, float] | None = None
) -> Started:
    """Listen on the next port, and write the service account's file."""
    state = FcmState(Keys(private_key=kept(directory / "fcm.pem", rsa_key)))
    state.faults.chances = chances or {}
    _, url = listen(application(state), host, next(ports))
    state.token_url = f"{url}/token"
    path = (directory / "fcm-service-account.json").resolve()
    write(path, state.keys.service_account(state.token_url))
    return Started("FCM", url, {"push": {"fcm": {"base_url": url, "service_account_file": str(path)}}})
