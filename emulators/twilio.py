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
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import click
from tornado.web import Application, HTTPError

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_BODY = 1600
# The parameters of https://www.twilio.com/docs/messaging/api/message-resource#request-body-parameters; those of the
# second list may come more than once.
ONCE = {
    "To",
    "StatusCallback",
    "ApplicationSid",
    "MaxPrice",
    "ProvideFeedback",
    "Attempt",
    "ValidityPeriod",
    "ForceDelivery",
    "ContentRetention",
    "AddressRetention",
    "SmartEncoded",
    "TrafficType",
    "ShortenUrls",
    "ScheduleType",
    "SendAt",
    "SendAsMms",
    "ContentVariables",
    "MessageIntent",
    "RiskCheck",
    "From",
    "FallbackFrom",
    "MessagingServiceSid",
    "Body",
    "ContentSid",
}
MANY = {"MediaUrl", "PersistentAction"}
MAX_MEDIA = 10
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding: those of the second line take two places.
GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_TWICE = frozenset("\f^{}\\[~]|€")
MEANING = {
    "20001": (400, "Unknown parameters"),
    "20003": (401, "Authenticate"),
    "20004": (405, "Method not allowed"),
    "20404": (404, "The requested resource was not found"),
    "20429": (429, "Too many requests"),
    "21211": (400, "Invalid 'To' Phone Number"),
    "21212": (400, "Invalid 'From' Phone Number"),
    "21408": (400, "Permission to send an SMS has not been enabled for the region"),
    "21602": (400, "Message body is required"),
    "21603": (400, "A 'From' phone number is required"),
    "21604": (400, "A 'To' phone number is required."),
    "21606": (400, "The 'From' phone number is not a valid, SMS-capable inbound phone number for your account."),
    "21610": (400, "Attempt to send to unsubscribed recipient"),
    "21611": (400, "This 'From' number has exceeded the maximum number of queued messages"),
    "21612": (400, "The 'To' phone number is not currently reachable from this 'From'"),
    "21614": (400, "'To' number is not a valid mobile number"),
    "21617": (400, "The concatenated message body exceeds the 1600 character limit"),
    "21620": (400, "Invalid media URL"),
    "21701": (400, "The Messaging Service does not exist"),
}
MAGIC = {f"+1500555{code[-4:]}": code for code in ("21211", "21408", "21610", "21614", "20429")} | {
    "+15005550001": "21211",
    "+15005550002": "21612",
    "+15005550003": "21408",
    "+15005550004": "21610",
    "+15005550009": "21614",
}
"""Recipients that are answered with an error: Twilio's own (https://www.twilio.com/docs/iam/test-credentials), and
those of the emulator, where the last four digits of an error stand behind +1500555."""
MAGIC_SENDERS = {"+15005550001": "21212", "+15005550007": "21606", "+15005550008": "21611"}
"""Senders that Twilio's test credentials refuse."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One made-up account, and an API key that signs in for it."""

    account_sid: str = "AC0123456789abcdef0123456789abcdef"
    auth_token: str = "emulated-auth-token"  # noqa: S105 - made up, for tests alone
    api_key_sid: str = "SK0123456789abcdef0123456789abcdef"
    api_key_secret: str = "emulated-key-secret"  # noqa: S105 - made up, for tests alone
    sender: str = "+15005550006"


@dataclass
class TwilioState:
    """`inbox` is what each number got."""

    keys: Keys = field(default_factory=Keys)
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def messages(self) -> list[dict[str, Any]]:
        """What was sent, newest first."""
        return sorted((one for items in self.inbox.values() for one in items), key=lambda one: -one["at"])


def _error(code: str) -> tuple[int, Any]:
    status, message = MEANING[code]
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": int(code), "message": message, "more_info": more_info, "status": status}


class MessagesHandler(VendorHandler):
    """`POST …/Messages.json`, and `GET` of all messages or of one, which can be changed (`POST`) and removed."""

    own_faults = tuple(MEANING)

    def initialize(self, state: TwilioState) -> None:
        self.state = state
        self.faults = state.faults

    async def get(self, *path: str) -> None:
        await self.post(*path)

    async def delete(self, *path: str) -> None:
        await self.post(*path)

    def answer_astray(self, status: int) -> tuple[int, Any]:
        return _error("20404" if status == 404 else "20004")

    async def answer(self) -> tuple[int, Any]:
        status, document = self._checked()
        if status >= 400:
            self.state.violations.append(f"{document['code']} {document['message']}")
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        return _error(kind)

    def _checked(self) -> tuple[int, Any]:
        keys = self.state.keys
        pairs = ((keys.account_sid, keys.auth_token), (keys.api_key_sid, keys.api_key_secret))
        basics = {f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}" for name, secret in pairs}
        if self.request.headers.get("Authorization") not in basics:
            return _error("20003")
        if self.path_args[0] != keys.account_sid:
            return _error("20404")
        sid = self.path_args[1] if len(self.path_args) > 1 else ""
        if self.request.method == "GET" and not sid:
            return self._listed()
        try:
            form = parse_qs(self.request.body.decode(), keep_blank_values=True, strict_parsing=True)
        except ValueError:
            form = {}
        if sid:
            return self._one(sid, form)
        if self.request.method == "DELETE":
            return _error("20004")
        code = _wrong(form)
        return _error(code) if code else self._keep({name: values[0] for name, values in form.items()}, form)

    def _one(self, sid: str, form: dict[str, list[str]]) -> tuple[int, Any]:
        """One message; with the changes that a form asks for: no body any more, and not to be sent yet."""
        found = next((one for one in self.state.messages() if one["sid"] == sid), None)
        if found is None:
            return _error("20404")
        if self.request.method == "DELETE":
            self.state.inbox[found["to"]].remove(found)
            return 204, None
        changes = {name.lower(): values[0] for name, values in form.items()}
        if not changes.items() <= {"body": "", "status": "canceled"}.items():
            return _error("20001")
        found.update(changes)
        return 200, _shown(found)

    def _listed(self) -> tuple[int, Any]:
        kept = [_shown(one) for one in self.state.messages()]
        page = {"first_page_uri": self.request.uri, "next_page_uri": None, "previous_page_uri": None}
        return 200, {"messages": kept, "page": 0, "page_size": len(kept), "uri": self.request.uri, **page}

    def _keep(self, form: dict[str, str], lists: dict[str, list[str]]) -> tuple[int, Any]:
        account, now = self.state.keys.account_sid, self.state.clock.now()
        media, by_service = lists.get("MediaUrl", []), "MessagingServiceSid" in form
        sid = f"{'MM' if media else 'SM'}{secrets.token_hex(16)}"
        uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
        status = "scheduled" if "SendAt" in form else "accepted" if by_service else "queued"
        body = form.get("Body", "")
        kept = {
            "sid": sid,
            "account_sid": account,
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "status": status,
            "to": form["To"],
            "from": form.get("From"),
            "body": body,
            # A service counts when it has chosen a sender.
            "num_segments": "0" if by_service else str(segments(body)),
            "num_media": str(len(media)),
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "price": None,
            "price_unit": None,
            "api_version": "2010-04-01",
            "date_created": formatdate(now / 1000),
            "date_updated": formatdate(now / 1000),
            "date_sent": None,
            "uri": f"{uri}.json",
            "subresource_uris": {"media": f"{uri}/Media.json"},
        }
        self.state.inbox.setdefault(form["To"], []).append({**kept, "at": now})
        return 201, kept


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "at"}


def segments(text: str) -> int:
    """How many SMS carry this text: https://www.twilio.com/docs/glossary/what-sms-character-limit."""
    if set(text) <= GSM_7 | GSM_7_TWICE:
        length, alone, each = len(text) + sum(one in GSM_7_TWICE for one in text), 160, 153
    else:
        length, alone, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= alone else -(-length // each)


def _wrong(form: dict[str, list[str]]) -> str:
    """The code of what is wrong with a form, empty when nothing is."""
    if form.keys() - ONCE - MANY or any(len(values) > 1 for name, values in form.items() if name in ONCE):
        return "20001"
    if not form.get("To", [""])[0]:
        return "21604"
    to = form["To"][0]
    if not E164.fullmatch(to):
        return "21211"
    return _wrong_sender(form) or _wrong_content(form) or MAGIC.get(to, "")


def _wrong_sender(form: dict[str, list[str]]) -> str:
    """A number, a name, or a service that chooses one; a service may be given both."""
    if "MessagingServiceSid" in form:
        return "" if SERVICE.fullmatch(form["MessagingServiceSid"][0]) else "21701"
    sender = form.get("From", [""])[0]
    return MAGIC_SENDERS.get(sender, "") if sender else "21603"


def _wrong_content(form: dict[str, list[str]]) -> str:
    body, media = form.get("Body", [""])[0], form.get("MediaUrl", [])
    if not (body or media or "ContentSid" in form):
        return "21602"
    if len(media) > MAX_MEDIA or not all(url.startswith(("http://", "https://")) for url in media):
        return "21620"
    return "21617" if len(body) > MAX_BODY else ""


class UnknownHandler(MessagesHandler):
    """Any other address."""

    def prepare(self) -> None:
        raise HTTPError(404)


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
            (r"/2010-04-01/Accounts/([^/]+)/Messages/(SM[0-9a-f]{32}|MM[0-9a-f]{32})\.json", MessagesHandler, own),
            (r"/__([a-z_]+)", Control, own),
            (r"/", PageHandler, own | {"title": "Twilio"}),
            (r"/.*", UnknownHandler, own),
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
    keys = {name: getattr(state.keys, name) for name in ("account_sid", "auth_token", "sender")}
    return Started("Twilio", url, {"sms": {"provider": "twilio", "twilio": {"base_url": url, **keys}}})
