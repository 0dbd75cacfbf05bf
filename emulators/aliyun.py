# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Alibaba Cloud's SendSms that checks what the real one checks.

As a process: `python -m emulators aliyun`. In a test: `async with running() as aliyun:`.
"""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import click
from tornado.web import Application, HTTPError

from emulators.http import Clock, ControlHandler, Faults, PageHandler, VendorHandler, listen, serving
from emulators.starting import Started, serve

AUTHORIZATION = re.compile(r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})")
NUMBER = re.compile(r"(\+|00)?[1-9][0-9]{6,14}")
MAINLAND = re.compile(r"(?:\+|00)?(?:86)?(1[3-9][0-9]{9})")
REQUIRED = ("PhoneNumbers", "SignName", "TemplateCode", "TemplateParam")
# What must be signed: these, and whatever else of the request begins with x-acs-.
SIGNED = {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
MOST_NUMBERS = 1000
FRESH_SECONDS = 15 * 60
MINUTE_MS = 60_000
PER_NUMBER = ((MINUTE_MS, 1), (60 * MINUTE_MS, 5), (24 * 60 * MINUTE_MS, 10))
"""How many codes one number gets in each of these times."""
OWN_FAULTS = {
    "isv.DAY_LIMIT_CONTROL": 200,
    "isv.OUT_OF_SERVICE": 200,
    "isv.AMOUNT_NOT_ENOUGH": 200,
    "isv.BLACK_KEY_CONTROL_LIMIT": 200,
    "isp.SYSTEM_ERROR": 200,
    "Throttling.User": 400,
    "InvalidAccessKeyId.NotFound": 404,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """One made-up access key, with the one signature and template that are approved."""

    access_key_id: str = "emulated-key"
    access_key_secret: str = "emulated-secret"  # noqa: S105 - made up, for tests alone
    sign_name: str = "Glimpse"
    template_code: str = "SMS_000000001"


@dataclass
class AliyunState:
    """`inbox` is what each number got; mainland ones go without their 86, others without their plus sign."""

    keys: Keys = field(default_factory=Keys)
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)


def _answer(code: str, message: str, status: int = 200) -> tuple[int, Any]:
    return status, {"Code": code, "Message": message, "RequestId": secrets.token_hex(16).upper()}


class SendSmsHandler(VendorHandler):
    """The one call of the vendor's API."""

    own_faults = tuple(OWN_FAULTS)

    def initialize(self, state: AliyunState) -> None:
        self.state = state
        self.faults = state.faults

    async def get(self, *path: str) -> None:
        await self.post(*path)

    def answer_astray(self, status: int) -> tuple[int, Any]:  # noqa: ARG002 - it says the same of both
        return _answer("InvalidAction.NotFound", "Specified api is not found, please check your url and method.", 404)

    async def answer(self) -> tuple[int, Any]:
        status, document = self._refused() or self._sent()
        if document["Code"] != "OK":
            self.state.violations.append(f"{document['Code']}: {document['Message']}")
        return status, document

    async def answer_fault(self, kind: str) -> tuple[int, Any]:
        return _answer(kind, "as was asked for", OWN_FAULTS[kind])

    def _refused(self) -> tuple[int, Any] | None:
        """What the gateway says before the service is asked."""
        headers, keys = self.request.headers, self.state.keys
        found = AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if not found or found[1] != keys.access_key_id:
            return _answer("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        if not self._is_signed(found[2], found[3]):
            return _answer("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.", 400)
        if not self._is_fresh(headers["x-acs-date"]):
            return _answer("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", 400)
        if headers["x-acs-signature-nonce"] in self.state.nonces:
            return _answer("SignatureNonceUsed", "Specified signature nonce was used already.", 400)
        self.state.nonces.add(headers["x-acs-signature-nonce"])
        if (headers["x-acs-action"], headers["x-acs-version"]) != ("SendSms", "2017-05-25"):
            return _answer("InvalidAction.NotFound", "Specified api is not found.", 404)
        return None

    def _is_signed(self, signed: str, signature: str) -> bool:
        """Whether the headers that matter are among those that were signed, in order, and the signature is theirs."""
        names, known = signed.split(";"), {name.lower() for name in self.request.headers}
        needed = SIGNED | {name for name in known if name.startswith("x-acs-")}
        if names != sorted(set(names)) or not needed <= set(names) <= known:
            return False
        return hmac.compare_digest(signature, self._signature(signed))

    def _signature(self, names: str) -> str:
        """Computed from what arrived, header by header; the query as it is once it is written one way."""
        query = sorted(parse_qsl(self.request.query, keep_blank_values=True))
        written = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query)
        lines = "".join(f"{name}:{self.request.headers.get(name, '').strip()}\n" for name in names.split(";"))
        hashed = hashlib.sha256(self.request.body).hexdigest()
        canonical = "\n".join((self.request.method or "", "/", written, lines, names, hashed))
        text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        return hmac.digest(self.state.keys.access_key_secret.encode(), text.encode(), "sha256").hex()

    def _is_fresh(self, date: str) -> bool:
        try:
            at = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return False
        return self.state.clock.skew(int(at.timestamp() * 1000)) <= FRESH_SECONDS * 1000

    def _sent(self) -> tuple[int, Any]:
        asked = {name: self.get_argument(name, "") for name in REQUIRED}
        numbers, now = [bare(number) for number in asked["PhoneNumbers"].split(",")], self.state.clock.now()
        wrong = _wrong(asked, self.state.keys)
        if wrong:
            return _answer(wrong, "what was asked for is not allowed")
        if any(map(self._has_enough, numbers)):
            return _answer("isv.BUSINESS_LIMIT_CONTROL", "too many for this number")
        for number in numbers:
            self.state.inbox.setdefault(number, []).append({"param": json.loads(asked["TemplateParam"]), "at": now})
        status, document = _answer("OK", "OK")
        return status, {**document, "BizId": str(secrets.randbelow(10**18))}

    def _has_enough(self, number: str) -> bool:
        now, got = self.state.clock.now(), self.state.inbox.get(number, [])
        return any(sum(one["at"] > now - span for one in got) >= most for span, most in PER_NUMBER)


def _wrong(asked: dict[str, str], keys: Keys) -> str:
    """The code of what the service refuses, empty when nothing is wrong."""
    if asked["SignName"] != keys.sign_name:
        return "isv.SMS_SIGNATURE_ILLEGAL"
    if asked["TemplateCode"] != keys.template_code:
        return "isv.SMS_TEMPLATE_ILLEGAL"
    try:
        param = json.loads(asked["TemplateParam"])
    except ValueError:
        return "isv.INVALID_JSON_PARAM"
    if not isinstance(param, dict) or set(param) != {"code"}:
        return "isv.TEMPLATE_MISSING_PARAMETERS"
    numbers = asked["PhoneNumbers"].split(",")
    if len(numbers) > MOST_NUMBERS:
        return "isv.MOBILE_COUNT_OVER_LIMIT"
    return "" if all(map(NUMBER.fullmatch, numbers)) else "isv.MOBILE_NUMBER_ILLEGAL"


def bare(number: str) -> str:
    """A number without what stands before it, so that each is one however it is written."""
    mainland = MAINLAND.fullmatch(number)
    return mainland[1] if mainland else number.removeprefix("+").removeprefix("00")


class UnknownHandler(SendSmsHandler):
    """Any other address."""

    def prepare(self) -> None:
        raise HTTPError(404)


class Control(ControlHandler):
    """`/__…`: read what each number got, set what is to happen."""

    state: AliyunState
    own_faults = tuple(OWN_FAULTS)

    def shown(self) -> dict[str, Any]:
        to = self.get_query_argument("to", None)
        inbox = self.state.inbox if to is None else self.state.inbox.get(to, [])
        return {"inbox": inbox, "violations": self.state.violations}

    def _set_reset(self) -> None:
        vars(self.state).update(vars(AliyunState(self.state.keys)))


def application(state: AliyunState) -> Application:
    own = {"state": state}
    return Application(
        [
            (r"/__([a-z_]+)", Control, own),
            (r"/__", PageHandler, own | {"title": "Aliyun"}),
            (r"/", SendSmsHandler, own),
            (r"/.*", UnknownHandler, own),
        ],
        log_function=lambda _: None,
    )


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[tuple[str, AliyunState]]:
    """An emulator on a free port of loopback for as long as the block runs: its address and all that it knows."""
    state = AliyunState(keys or Keys())
    async with serving(application(state)) as url:
        yield url, state


@click.command("aliyun")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: a free one")
def command(*, host: str, port: int) -> None:
    """Emulate Alibaba Cloud's SendSms until interrupted; its page is at /__."""
    asyncio.run(serve(host, port, start))


async def start(host: str, ports: Iterator[int]) -> Started:
    """Listen on the next port."""
    state = AliyunState()
    _, url = listen(application(state), host, next(ports))
    return Started(
        "Aliyun", f"{url}/__", {"sms": {"provider": "aliyun", "aliyun": {"base_url": url, **asdict(state.keys)}}}
    )
