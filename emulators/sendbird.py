# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Sendbird's Platform API v3 that checks what the real one checks.

As a process: `python -m emulators sendbird`. In a test: `async with running() as sendbird:`.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from tornado.web import Application

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

API_TOKEN = "emulated-0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - made up, for tests alone
MAX_USER_ID = 80
OWN_FAULTS = {"400306": 400, "500901": 500, "500910": 429, "403100": 403}
REQUIRED = ("user_id", "nickname", "profile_url")


@dataclass
class SendbirdState:
    """`inbox` is what each user was given: the account, then its session tokens."""

    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def _error(code: int, message: str, status: int = 400) -> tuple[int, Any]:
    return status, {"error": True, "code": code, "message": message}


class ApiHandler(VendorHandler):
    """One call of the vendor's API."""

    own_faults = tuple(OWN_FAULTS)

    def initialize(self, state: SendbirdState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        status, document = self._checked()
        if status != 200:
            self.state.violations.append(f"{document['code']} {document['message']}")
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.set_header("X-RateLimit-RetryAfter", "1")
        return _error(int(kind), "as was asked for", OWN_FAULTS[kind])

    def _checked(self) -> tuple[int, Any]:
        if self.request.headers.get("Api-Token") != API_TOKEN:
            return _error(400401, "Invalid API token.")
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return _error(400100, "The body must be a JSON object.")
        return self._session_token(self.path_args[0], body) if self.path_args else self._user(body)

    def _user(self, body: dict[str, Any]) -> tuple[int, Any]:
        for name in REQUIRED:
            if name not in body:
                return _error(400105, f'"{name}" must be specified.')
            if not isinstance(body[name], str):
                return _error(400100, f'"{name}" must be a string.')
        name = body["user_id"]
        if not 1 <= len(name) <= MAX_USER_ID:
            return _error(400305, '"user_id" is too long.')
        if name in self.state.inbox:
            return _error(400202, '"user_id" violates unique constraint.')
        user = {
            **{key: body[key] for key in REQUIRED},
            "access_token": "",
            "created_at": self.state.clock.now() // 1000,
        }
        self.state.inbox[name] = [{**user, "at": self.state.clock.now()}]
        return 200, {**user, "is_active": True, "is_online": False, "metadata": {}}

    def _session_token(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if name not in self.state.inbox:
            return _error(400301, "User not found.")
        now = self.state.clock.now()
        expires_at = body.get("expires_at", now + 7 * 86_400_000)
        if not isinstance(expires_at, int) or isinstance(expires_at, bool):
            return _error(400100, '"expires_at" must be an integer.')
        if expires_at <= now:
            return _error(400111, '"expires_at" is in the past.')
        issued = {"token": secrets.token_hex(20), "expires_at": expires_at}
        self.state.inbox[name].append({**issued, "at": now})
        return 200, issued


class Control(ControlHandler):
    """`/__…`: read what was made, set what is to happen."""

    state: SendbirdState
    own_faults = tuple(OWN_FAULTS)

    def shown(self) -> dict[str, Any]:
        return {"inbox": self.state.inbox, "violations": self.state.violations}

    def _set_reset(self) -> None:
        vars(self.state).update(vars(SendbirdState()))


def application(state: SendbirdState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/v3/users", ApiHandler, own),
            (r"/v3/users/([^/]+)/token", ApiHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Sendbird"}),
        ],
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running() -> AsyncIterator[tuple[str, SendbirdState]]:
    """An emulator on a free port of loopback for as long as the block runs: its `base_url` and all that it knows."""
    state = SendbirdState()
    async with serving(application(state)) as url:
        yield f"{url}/v3", state


@click.command("sendbird")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
def command(*, host: str, port: int) -> None:
    """Emulate Sendbird until interrupted."""
    asyncio.run(serve(host, port, start))


async def start(host: str, ports: Iterator[int]) -> Started:
    """Listen on the next port."""
    _, url = listen(application(SendbirdState()), host, next(ports))
    return Started("Sendbird", url, {"chat": {"sendbird": {"base_url": f"{url}/v3", "api_token": API_TOKEN}}})
