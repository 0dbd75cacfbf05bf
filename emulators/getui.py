# SPDX-License-Identifier: Apache-2.0
"""A stand-in for GeTui's REST API V2 that checks what the real one checks.

As a process: `python -m emulators getui`. In a test: `async with running() as getui:`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.getui_checks import Refused
from emulators.getui_rules import CID_STATES, GetuiState, Keys
from emulators.http import ControlHandler, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve, with_chances

BUSY = {"10001": (401, "token is invalid"), "10005": (401, "too frequent"), "30019": (403, "busy")}
OWN_FAULTS = (*BUSY, "30009", "20001")


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens: where, and all that it knows."""

    url: str
    state: GetuiState

    @property
    def base_url(self) -> str:
        """What `push.getui.base_url` is to be."""
        return f"{self.url}/v2"


class GetuiHandler(VendorHandler):
    """One call of the vendor's API."""

    own_faults = OWN_FAULTS

    def initialize(self, state: GetuiState) -> None:
        self.state = state
        self.faults = state.faults

    def answer_astray(self, status: int) -> tuple[int, Any]:
        return status, {"code": status, "msg": "url error" if status == 404 else "method error"}

    def _checked(self, call: str) -> tuple[int, dict[str, Any]]:
        body = self.request.body
        if call == "auth":
            return self.state.sign_in(body)
        self.state.check_token(self.request.headers.get("token", ""))
        if call == "user/status":
            return self.state.presence(self.path_args[2].split(","))
        if call == "user/alias":
            return self.state.bind(body, on=self.request.method == "POST")
        return self._pushed(call, body)

    def _pushed(self, call: str, body: bytes) -> tuple[int, dict[str, Any]]:
        by = "alias" if call.endswith("/alias") else "cid"
        match call.split("/")[1:]:
            case ["single", "batch", _]:
                return self.state.push_batch(body, by)
            case ["single", _]:
                return self.state.push_single(body, by)
            case ["list", "message"]:
                return self.state.create(body)
            case ["list", _]:
                return self.state.push_list(body, by)
            case _:
                return self.state.push_many(body, call)

    async def answer(self) -> tuple[int, Any]:
        app_id, call = self.path_args[0], self.path_args[1]
        self.state.calls[call] += 1
        try:
            if app_id != self.state.keys.app_id:
                raise Refused(404, 404, "url error")
            return self._checked(call)
        except Refused as refused:
            self.state.violations.append(f"{call}: {refused}")
            return refused.answer

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        self.state.calls[self.path_args[1]] += 1
        if kind == "10001":
            self.state.tokens.clear()
        status, message = BUSY.get(kind, (403, "over quota") if kind == "30009" else (400, "parameter is invalid"))
        return status, {"code": int(kind), "msg": message}


class StatusHandler(GetuiHandler):
    """`GET /user/status/{cids}`."""

    async def get(self, *path: str) -> None:
        await self.post(*path)


class AliasHandler(GetuiHandler):
    """`POST` and `DELETE /user/alias`."""

    async def delete(self, *path: str) -> None:
        await self.post(*path)


class SignInHandler(GetuiHandler):
    """`POST /auth`, which meets no queued fault, so that a test can aim at pushes."""

    async def post(self, *_: str) -> None:
        self._write_json(*await self.answer())

    async def delete(self, *_: str) -> None:
        self.state.tokens.pop(self.path_args[2] if len(self.path_args) > 2 else "", None)
        self._write_json(200, {"code": 0, "msg": ""})


class UnknownHandler(RequestHandler):
    """Any other address."""

    def prepare(self) -> None:
        self.set_status(404)
        self.finish({"code": 404, "msg": "url error"})


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: GetuiState
    own_faults = OWN_FAULTS

    def shown(self) -> dict[str, Any]:
        state = self.state
        cid = self.get_query_argument("cid", None)
        return {
            "inbox": state.inbox if cid is None else state.inbox.get(cid, []),
            "violations": state.violations,
            "calls": state.calls,
            "repeated": state.repeated,
            "aliases": state.aliases,
        }

    def _set_cid(self, cid: str, state: str) -> None:
        if state not in CID_STATES:
            raise ValueError(f"state is one of {', '.join(CID_STATES)}")
        self.state.cids[cid] = state

    def _set_strict(self, *, on: bool) -> None:
        self.state.strict = bool(on)

    def _set_leave_out_dead(self, *, on: bool) -> None:
        self.state.leave_out_dead = bool(on)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(GetuiState(self.state.keys)))


def application(state: GetuiState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/v2/([^/]+)/(auth)(?:/([0-9a-f]+))?", SignInHandler, own),
            (r"/v2/([^/]+)/(push/(?:single|single/batch|list)/(?:cid|alias))", GetuiHandler, own),
            (r"/v2/([^/]+)/(push/(?:list/message|all|tag|fast_custom_tag))", GetuiHandler, own),
            (r"/v2/([^/]+)/(user/alias)", AliasHandler, own),
            (r"/v2/([^/]+)/(user/status)/([^/]+)", StatusHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "GeTui"}),
        ],
        default_handler_class=UnknownHandler,
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[Running]:
    """An emulator on a free port of loopback for as long as the block runs."""
    state = GetuiState(keys or Keys())
    async with serving(application(state)) as url:
        yield Running(url, state)


@click.command("getui")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
@click.option("--app-id", default=Keys().app_id)
@click.option("--app-key", default=Keys().app_key)
@click.option("--master-secret", default=Keys().master_secret)
@with_chances("pushes")
def command(*, host: str, port: int, app_id: str, app_key: str, master_secret: str, chances: dict[str, float]) -> None:
    """Emulate GeTui until interrupted."""
    state = GetuiState(Keys(app_id, app_key, master_secret))
    state.faults.chances = chances
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, state)))


async def start(host: str, ports: Iterator[int], state: GetuiState | None = None) -> Started:
    """Listen on the next port."""
    state = state or GetuiState()
    _, url = listen(application(state), host, next(ports))
    return Started("GeTui", url, {"push": {"getui": {"base_url": f"{url}/v2", **asdict(state.keys)}}})
