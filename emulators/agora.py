# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Agora's chat REST interface, and for its SDK's login, that checks what the real ones check.

As a process: `python -m emulators agora`. In a test: `async with running() as agora:`.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import click
from tornado.web import Application, RequestHandler

from chat import agora_token
from chat.agora_token import BadToken, Kind, Token
from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

MOST_USERS = 60
USERNAME = re.compile(r"[a-z0-9_.-]{1,64}")
OWN_FAULTS = {
    "reach_limit": 429,
    "forbidden_op": 403,
    "unauthorized": 401,
    "organization_application_not_found": 404,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """One made-up project."""

    app_id: str = "0123456789abcdef0123456789abcdef"
    app_certificate: str = "fedcba9876543210fedcba9876543210"
    org_name: str = "glimpse"
    app_name: str = "emulated"


@dataclass
class AgoraState:
    """`inbox` is what was registered, by username."""

    keys: Keys = field(default_factory=Keys)
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def token(self, text: str) -> Token:
        """The token, if it is ours and not over. Raises BadToken."""
        token = agora_token.read(text, self.keys.app_certificate)
        if token.app_id != self.keys.app_id:
            raise BadToken("another app's")
        if self._is_over(token, token.lasts):
            raise BadToken("expired")
        return token

    def permits(self, token: Token, privilege: int) -> bool:
        """Whether the token's Chat service has this privilege, still."""
        service = token.service(Kind.CHAT)
        lasts = service.privileges.get(privilege) if service else None
        return lasts is not None and not self._is_over(token, lasts)

    def _is_over(self, token: Token, seconds: int) -> bool:
        return self.clock.now() // 1000 >= token.issued_at + seconds


def _error(status: int, error: str, description: str) -> tuple[int, Any]:
    return status, {"error": error, "error_description": description, "timestamp": _now(), "duration": 0}


def _now() -> int:
    return time.time_ns() // 1_000_000


class UsersHandler(VendorHandler):
    """`POST …/users`: register one account or several; `GET`: all of them."""

    own_faults = tuple(OWN_FAULTS)

    def initialize(self, state: AgoraState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        status, document = self._register()
        if status != 200:
            self.state.violations.append(document["error"])
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        return _error(OWN_FAULTS[kind], kind, "as was asked for")

    async def get(self, *path: str) -> None:
        await self.post(*path)

    def answer_astray(self, status: int) -> tuple[int, Any]:
        return _error(status, "method_not_allowed", "The method is not supported for this address")

    def _register(self) -> tuple[int, Any]:
        keys, path = self.state.keys, self.request.path
        if path not in (f"/{keys.org_name}/{keys.app_name}/users", f"/app-id/{keys.app_id}/users"):
            return _error(404, "organization_application_not_found", "Could not find application")
        scheme, _, text = self.request.headers.get("Authorization", "").partition(" ")
        try:
            token = self.state.token(text if scheme == "Bearer" else "")
        except BadToken as error:
            return _error(401, "unauthorized", f"Unable to authenticate: {error}")
        if not self.state.permits(token, agora_token.CHAT_APP):
            return _error(401, "unauthorized", "Unable to authenticate due to the token's privileges")
        if self.request.method == "GET":
            kept = [entity for entities in self.state.inbox.values() for entity in entities]
            return self._done([{key: value for key, value in entity.items() if key != "at"} for entity in kept])
        try:
            body = json.loads(self.request.body)
        except ValueError:
            return _error(400, "json_parse", "Unexpected character")
        return self._keep(body if isinstance(body, list) else [body])

    def _keep(self, users: list[Any]) -> tuple[int, Any]:
        """Make one account or several, or none where one of them is wrong."""
        if not 1 <= len(users) <= MOST_USERS:
            return _error(400, "illegal_argument", f"1 to {MOST_USERS} users are taken")
        wrong = next(filter(None, map(_wrong, users)), None)
        if wrong:
            return _error(400, "illegal_argument", wrong)
        names = [user["username"] for user in users]
        if len(set(names)) < len(names) or any(name in self.state.inbox for name in names):
            return _error(400, "duplicate_unique_property_exists", "username exists")
        now = _now()
        entities = [
            {
                "uuid": str(uuid.uuid4()),
                "type": "user",
                "created": now,
                "modified": now,
                "username": user["username"],
                "activated": True,
                **({"nickname": user["nickname"]} if "nickname" in user else {}),
            }
            for user in users
        ]
        for entity in entities:
            self.state.inbox[entity["username"]] = [entity | {"at": now}]
        return self._done(entities)

    def _done(self, entities: list[dict[str, Any]]) -> tuple[int, Any]:
        keys = self.state.keys
        return 200, {
            "action": (self.request.method or "").lower(),
            "application": str(uuid.uuid5(uuid.NAMESPACE_OID, keys.app_id)),
            "path": "/users",
            "uri": f"{self.request.protocol}://{self.request.host}{self.request.path}",
            "entities": entities,
            "timestamp": _now(),
            "duration": 0,
            "organization": keys.org_name,
            "applicationName": keys.app_name,
        }


def _wrong(user: Any) -> str:
    """What is wrong with one account that is to be made, empty where nothing is."""
    texts = isinstance(user, dict) and all(isinstance(value, str) for value in user.values())
    if not texts or not {"username", "password"} <= user.keys() <= {"username", "password", "nickname"}:
        return "username, password and nickname are taken"
    return "" if USERNAME.fullmatch(user["username"]) else "the username is not legal"


class LoginHandler(RequestHandler):
    """`POST /__login` {"username", "token"}: the SDK's login with a user token; what the token allows."""

    def initialize(self, state: AgoraState) -> None:
        self.state = state

    def post(self) -> None:
        try:
            asked = json.loads(self.request.body)
            name, token = str(asked["username"]), self.state.token(str(asked["token"]))
        except BadToken as error:
            self._refuse(str(error))
            return
        except (ValueError, KeyError, TypeError):
            self._refuse("username and token are asked for", 400)
            return
        service = token.service(Kind.CHAT)
        if service is None or not service.privileges.keys() & {agora_token.CHAT_USER}:
            self._refuse("not a chat user's token")
        elif not self.state.permits(token, agora_token.CHAT_USER):
            self._refuse("the privilege has expired")
        elif service.extras[0] != name:
            self._refuse("another user's")
        elif name not in self.state.inbox:
            self._refuse("no such user")
        else:
            self.finish({"services": {one.kind.name: [list(one.extras), one.privileges] for one in token.services}})

    def _refuse(self, why: str, status: int = 401) -> None:
        self.set_status(status)
        self.finish({"error": "unauthorized" if status == 401 else "illegal_argument", "error_description": why})


class Control(ControlHandler):
    """`/__…`: read what was registered, set what is to happen."""

    state: AgoraState
    own_faults = tuple(OWN_FAULTS)

    def shown(self) -> dict[str, Any]:
        return {"inbox": self.state.inbox, "violations": self.state.violations}

    def _set_reset(self) -> None:
        vars(self.state).update(vars(AgoraState(self.state.keys)))


def application(state: AgoraState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/__login", LoginHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Agora"}),
            (r"/.*", UsersHandler, own),
        ],
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[tuple[str, AgoraState]]:
    """An emulator on a free port of loopback for as long as the block runs: its address and all that it knows."""
    state = AgoraState(keys or Keys())
    async with serving(application(state)) as url:
        yield url, state


@click.command("agora")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
def command(*, host: str, port: int) -> None:
    """Emulate Agora's chat service until interrupted."""
    asyncio.run(serve(host, port, start))


async def start(host: str, ports: Iterator[int]) -> Started:
    """Listen on the next port."""
    state = AgoraState()
    _, url = listen(application(state), host, next(ports))
    return Started("Agora", url, {"chat": {"agora": {"base_url": url, **asdict(state.keys)}}})
