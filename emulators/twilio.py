# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Twilio's Messages resource that checks what the real one checks.

As a process: `python -m emulators twilio`. In a test: `async with running() as twilio:`.
"""

import asyncio
import re
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import click
from tornado.web import Application

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_BODY = 1600
KNOWN = {"To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod", "MaxPrice"}
MEANING = {
    "20003": (401, "Authenticate"),
    "20404": (404, "The requested resource was not found"),
    "20429": (429, "Too many requests"),
    "21211": (400, "Invalid 'To' Phone Number"),
    "21408": (400, "Permission to send an SMS has not been enabled for the region"),
    "21602": (400, "Message body is required"),
    "21603": (400, "A 'From' phone number is required"),
    "21610": (400, "Attempt to send to unsubscribed recipient"),
    "21612": (400, "The 'To' phone number is not currently reachable from this 'From'"),
    "21614": (400, "'To' number is not a valid mobile number"),
    "21617": (400, "The concatenated message body exceeds the 1600 character limit"),
}
MAGIC = {f"+1500555{code[-4:]}": code for code in ("21211", "21408", "21610", "21614", "20429")}
"""Numbers that are answered with an error of their own: its last four digits stand behind +1500555."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One made-up account."""

    account_sid: str = "AC0123456789abcdef0123456789abcdef"
    auth_token: str = "emulated-auth-token"  # noqa: S105 - made up, for tests alone
    sender: str = "+15005550006"


@dataclass
class TwilioState:
    """`inbox` is what each number got."""

    keys: Keys = field(default_factory=Keys)
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def _error(code: str) -> tuple[int, Any]:
    status, message = MEANING[code]
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": int(code), "message": message, "more_info": more_info, "status": status}


class MessagesHandler(VendorHandler):
    """`POST …/Messages.json`."""

    own_faults = tuple(MEANING)

    def initialize(self, state: TwilioState) -> None:
        self.state = state
        self.faults = state.faults

    async def answer(self) -> tuple[int, Any]:
        status, document = self._checked()
        if status != 201:
            self.state.violations.append(f"{document['code']} {document['message']}")
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        return _error(kind)

    def _checked(self) -> tuple[int, Any]:
        keys = self.state.keys
        basic = b64encode(f"{keys.account_sid}:{keys.auth_token}".encode()).decode()
        if self.request.headers.get("Authorization") != f"Basic {basic}":
            return _error("20003")
        if self.path_args[0] != keys.account_sid:
            return _error("20404")
        try:
            form = parse_qs(self.request.body.decode(), keep_blank_values=True, strict_parsing=True)
        except ValueError:
            form = {}
        code = _wrong(form)
        return _error(code) if code else self._keep({name: values[0] for name, values in form.items()})

    def _keep(self, form: dict[str, str]) -> tuple[int, Any]:
        kept = {
            "sid": f"SM{secrets.token_hex(16)}",
            "account_sid": self.state.keys.account_sid,
            "status": "queued",
            "to": form["To"],
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "body": form["Body"],
            "direction": "outbound-api",
            "error_code": None,
            "date_created": formatdate(self.state.clock.now() / 1000),
        }
        self.state.inbox.setdefault(form["To"], []).append({**kept, "at": self.state.clock.now()})
        return 201, kept


def _wrong(form: dict[str, list[str]]) -> str:
    """The code of what is wrong with a form, empty when nothing is."""
    if form.keys() - KNOWN or any(len(values) > 1 for values in form.values()):
        return "20404"
    to, body = form.get("To", [""])[0], form.get("Body", [""])[0]
    if not E164.fullmatch(to):
        return "21211"
    if ("From" in form) == ("MessagingServiceSid" in form):
        return "21603"
    if not body:
        return "21602"
    return "21617" if len(body) > MAX_BODY else MAGIC.get(to, "")


class Control(ControlHandler):
    """`/__…`: read what each number got, set what is to happen."""

    state: TwilioState
    own_faults = tuple(MEANING)

    def shown(self) -> dict[str, Any]:
        to = self.get_query_argument("to", None)
        inbox = self.state.inbox if to is None else self.state.inbox.get(to, [])
        return {"inbox": inbox, "violations": self.state.violations}

    def _set_reset(self) -> None:
        vars(self.state).update(vars(TwilioState(self.state.keys)))


def application(state: TwilioState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/2010-04-01/Accounts/([^/]+)/Messages\.json", MessagesHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Twilio"}),
        ],
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[tuple[str, TwilioState]]:
    """An emulator on a free port of loopback for as long as the block runs: its address and all that it knows."""
    state = TwilioState(keys or Keys())
    async with serving(application(state)) as url:
        yield url, state


@click.command("twilio")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
def command(*, host: str, port: int) -> None:
    """Emulate Twilio's messages until interrupted."""
    asyncio.run(serve(host, port, start))


async def start(host: str, ports: Iterator[int]) -> Started:
    """Listen on the next port."""
    state = TwilioState()
    _, url = listen(application(state), host, next(ports))
    return Started("Twilio", url, {"sms": {"provider": "twilio", "twilio": {"base_url": url, **asdict(state.keys)}}})
