# SPDX-License-Identifier: Apache-2.0
"""A stand-in for GeTui's REST API V2 that checks what the real one checks.

As a process: `python -m emulators getui`. In a test: `async with running() as getui:`.
"""

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click
from tornado.web import Application, RequestHandler

from emulators.getui_rules import CID_STATES, GetuiState, Keys, Refused
from emulators.http import FAULTS, ControlHandler, Fault, VendorHandler, listen, serving

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

    def _checked(self, call: str) -> tuple[int, dict[str, Any]]:
        body = self.request.body
        if call == "auth":
            return self.state.sign_in(body)
        self.state.check_token(self.request.headers.get("token", ""))
        return self.state.push_single(body) if call == "push/single/cid" else self.state.push_batch(body)

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

    def initialize(self, state: GetuiState) -> None:
        self.state = state

    def get(self, name: str) -> None:
        state = self.state
        cid = self.get_query_argument("cid", None)
        found: dict[str, Any] = {
            "inbox": state.inbox if cid is None else state.inbox.get(cid, []),
            "violations": state.violations,
            "calls": state.calls,
            "repeated": state.repeated,
        }
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

    def _set_cid(self, cid: str, state: str) -> None:
        if state not in CID_STATES:
            raise ValueError(f"state is one of {', '.join(CID_STATES)}")
        self.state.cids[cid] = state

    def _set_strict(self, *, on: bool) -> None:
        self.state.strict = bool(on)

    def _set_leave_out_dead(self, *, on: bool) -> None:
        self.state.leave_out_dead = bool(on)

    def _set_fault(self, kind: str, times: int = 1, after: int = 0) -> None:
        if kind not in FAULTS + OWN_FAULTS:
            raise ValueError(f"kind is one of {', '.join(FAULTS + OWN_FAULTS)}")
        self.state.faults.queue.append(Fault(kind, int(times), int(after)))

    def _set_chances(self, fail: float = 0, hang: float = 0, reset: float = 0) -> None:
        self.state.faults.chances = {"fail": float(fail), "hang": float(hang), "reset": float(reset)}

    def _set_clock(self, advance_ms: int) -> None:
        self.state.clock.ahead_ms += int(advance_ms)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(GetuiState(self.state.keys)))


class PageHandler(RequestHandler):
    """A page of what each target received."""

    def initialize(self, state: GetuiState) -> None:
        self.state = state

    def get(self) -> None:
        rows = "".join(
            f"<tr><td>{html.escape(cid)}<td>{item['status']}<td><code>{html.escape(str(item.get('transmission')))}</code>"
            for cid, items in self.state.inbox.items()
            for item in items
        )
        style = "<style>body{font-family:sans-serif}td,th{text-align:left;padding:.2em 1em .2em 0}</style>"
        table = f"<table><tr><th>cid<th>status<th>transmission{rows}</table>"
        self.finish(f"<!doctype html><meta charset=utf-8><title>GeTui emulator</title>{style}<h1>Received</h1>{table}")


def application(state: GetuiState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/v2/([^/]+)/(auth)(?:/([0-9a-f]+))?", SignInHandler, own),
            (r"/v2/([^/]+)/(push/single/cid|push/single/batch/cid)", GetuiHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own),
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
@click.option("--fail", default=0.0, help="percent of the pushes answered 502")
@click.option("--hang", default=0.0, help="percent never answered")
@click.option("--reset", default=0.0, help="percent kept, then cut off")
def command(
    *, host: str, port: int, app_id: str, app_key: str, master_secret: str, fail: float, hang: float, reset: float
) -> None:
    """Emulate GeTui until interrupted."""
    state = GetuiState(Keys(app_id, app_key, master_secret))
    state.faults.chances = {"fail": fail, "hang": hang, "reset": reset}
    asyncio.run(_serve(state, host, port))


async def _serve(state: GetuiState, host: str, port: int) -> None:
    _, url = listen(application(state), host, port)
    keys = state.keys
    click.echo(f"GeTui emulator at {url} (push.getui.base_url: {url}/v2)")
    click.echo(f"app_id {keys.app_id} app_key {keys.app_key} master_secret {keys.master_secret}")
    await asyncio.Event().wait()
