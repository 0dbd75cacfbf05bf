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
from tornado.web import Application, RequestHandler

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

API_TOKEN = "emulated-0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - made up, for tests alone
MAX_USER_ID = 80
OWN_FAULTS = {"400306": 400, "500901": 500, "500910": 429, "403100": 403}
REQUIRED = ("user_id", "nickname", "profile_url")
KINDS: dict[str, tuple[type, str]] = {
    "user_id": (str, "a string"),
    "nickname": (str, "a string"),
    "profile_url": (str, "a string"),
    "issue_access_token": (bool, "a boolean"),
    "is_active": (bool, "a boolean"),
    "discovery_keys": (list, "a list"),
    "preferred_languages": (list, "a list"),
    "metadata": (dict, "an object"),
}
NULLABLE = {"discovery_keys", "metadata"}
CHANGEABLE = KINDS.keys() - {"user_id", "issue_access_token"}

Answer = tuple[int, dict[str, Any]]


@dataclass
class SendbirdState:
    """`users` are the accounts; `inbox` is what each was given: the account, then its session tokens."""

    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def create(self, body: dict[str, Any]) -> Answer:
        """`POST /users`."""
        for name in REQUIRED:
            if name not in body:
                return _error(400105, f'"{name}" must be specified.')
        wrong = _wrong(body)
        if wrong:
            return wrong
        name, now = body["user_id"], self.clock.now()
        if not 1 <= len(name) <= MAX_USER_ID:
            return _error(400305, '"user_id" is too long.')
        if name in self.users:
            return _error(400202, '"user_id" violates unique constraint.')
        self.users[name] = {
            "user_id": name,
            "nickname": body["nickname"],
            "profile_url": body["profile_url"],
            "require_auth_for_profile_image": False,
            "access_token": secrets.token_hex(20) if body.get("issue_access_token") else "",
            "created_at": now // 1000,
            "is_active": True,
            "is_online": False,
            "last_seen_at": 0,
            "has_ever_logged_in": False,
            "is_hide_me_from_friends": False,
            "discovery_keys": body.get("discovery_keys") or [],
            "preferred_languages": [],
            "phone_number": "",
            "locale": "",
            "unread_channel_count": 0,
            "unread_message_count": 0,
            "metadata": body.get("metadata") or {},
            "session_tokens": [],
        }
        self.inbox[name] = [{**self.users[name], "at": now}]
        return 200, self.users[name]

    def change(self, name: str, body: dict[str, Any]) -> Answer:
        """`PUT /users/{user_id}`: what may be changed and is named."""
        wrong = _wrong(body)
        if wrong:
            return wrong
        self.users[name] |= {key: value for key, value in body.items() if key in CHANGEABLE}
        return 200, self.users[name]

    def remove(self, name: str) -> Answer:
        """`DELETE /users/{user_id}`."""
        del self.users[name]
        return 200, {}

    def listed(self, ids: list[str]) -> Answer:
        """`GET /users`, all on one page."""
        return 200, {"users": [user for name, user in self.users.items() if not ids or name in ids], "next": ""}

    def issue(self, name: str, body: dict[str, Any]) -> Answer:
        """`POST /users/{user_id}/token`."""
        now = self.clock.now()
        expires_at = body.get("expires_at", now + 7 * 86_400_000)
        if not isinstance(expires_at, int) or isinstance(expires_at, bool):
            return _error(400100, '"expires_at" must be an integer.')
        if expires_at <= now:
            return _error(400111, '"expires_at" is in the past.')
        issued = {"token": secrets.token_hex(20), "expires_at": expires_at}
        self.users[name]["session_tokens"].append(issued)
        self.inbox[name].append({**issued, "at": now})
        return 200, issued

    def revoke(self, name: str) -> Answer:
        """`DELETE /users/{user_id}/token`."""
        self.users[name]["session_tokens"].clear()
        return 200, {}


def _error(code: int, message: str, status: int = 400) -> Answer:
    return status, {"error": True, "code": code, "message": message}


def _wrong(body: dict[str, Any]) -> Answer | None:
    """The refusal of a field of another kind."""
    for name, (kind, said) in KINDS.items():
        if name in body and not isinstance(body[name], kind) and not (body[name] is None and name in NULLABLE):
            return _error(400100, f'"{name}" must be {said}.')
    return None


class ApiHandler(VendorHandler):
    """One call of the vendor's API."""

    SUPPORTED_METHODS = ("GET", "POST", "PUT", "DELETE")  # type: ignore[assignment]  # one more than most vendors have
    own_faults = tuple(OWN_FAULTS)

    def initialize(self, state: SendbirdState) -> None:
        self.state = state
        self.faults = state.faults

    async def get(self, *path: str) -> None:
        await self.post(*path)

    async def put(self, *path: str) -> None:
        await self.post(*path)

    async def delete(self, *path: str) -> None:
        await self.post(*path)

    def answer_astray(self, status: int) -> Answer:
        return _error(400404, "There is no such method.", status)

    async def answer(self) -> tuple[int, Any]:
        status, document = self._checked()
        if status != 200:
            self.state.violations.append(f"{document['code']} {document['message']}")
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.set_header("X-RateLimit-RetryAfter", "1")
        return _error(int(kind), "as was asked for", OWN_FAULTS[kind])

    def _checked(self) -> Answer:
        if self.request.headers.get("Api-Token") != API_TOKEN:
            return _error(400401, "Invalid API token.")
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return _error(400100, "The body must be a JSON object.")
        if self.path_args:
            return self._of_one(self.path_args[0], body)
        if self.request.method == "GET":
            ids = self.get_query_argument("user_ids", "")
            return self.state.listed(ids.split(",") if ids else [])
        return self.state.create(body)

    def _of_one(self, name: str, body: dict[str, Any]) -> Answer:
        """What is asked of one user."""
        if name not in self.state.users:
            return _error(400201, '"User" not found.')
        return self._of_user(name, body)

    def _of_user(self, name: str, body: dict[str, Any]) -> Answer:
        match self.request.method:
            case "PUT":
                return self.state.change(name, body)
            case "DELETE":
                return self.state.remove(name)
            case _:
                return 200, self.state.users[name]


class TokenHandler(ApiHandler):
    """`POST` and `DELETE /users/{user_id}/token`."""

    def _of_one(self, name: str, body: dict[str, Any]) -> Answer:
        return super()._of_one(name, body) if name in self.state.users else _error(400301, "User not found.")

    def _of_user(self, name: str, body: dict[str, Any]) -> Answer:
        return self.state.revoke(name) if self.request.method == "DELETE" else self.state.issue(name, body)


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        status, document = _error(400404, "There is no such API.", 404)
        self.set_status(status)
        self.finish(document)


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
            (r"/v3/users/([^/]+)", ApiHandler, own),
            (r"/v3/users/([^/]+)/token", TokenHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Sendbird"}),
        ],
        default_handler_class=UnknownHandler,
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
