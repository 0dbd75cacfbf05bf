# SPDX-License-Identifier: Apache-2.0
"""What to say, what an answer means, and whether to ask again: decisions alone, no socket and no file."""

import base64
import hashlib
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from glimpse_client.data import Credentials, Event, Session, read
from glimpse_client.errors import FieldProblem, Refused, Unreachable

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds between tries: doubled each time, and a random part of it taken, so that phones do not come back at once."""
BUSY = (429, 503)
"""The server says so before it does anything (429), or may have done it (503)."""
BAD_GATEWAY = (502, 504)
"""A proxy speaks for a server that it cannot reach, or that may have done it."""
PHONE_HASH = re.compile("[0-9a-f]{64}")
FILE_NAME = re.compile(r'filename="([0-9a-f]{64}\.[a-z]{1,8})"')


def phone_hash(phone_num: str) -> str:
    """SHA-256 of a number in E.164 with its plus, such as `+8613800138000`. An identifier, never a secret."""
    return hashlib.sha256(phone_num.encode()).hexdigest()


def receiver(to: int | str) -> dict[str, str]:
    """The form field for a uid, a number in E.164 with its plus, or a phone hash. Raises ValueError."""
    if isinstance(to, int):
        return {"receiver_uid": str(to)}
    if re.fullmatch(r"\+[0-9]{5,15}", to):
        return {"receiver_phone": phone_hash(to)}
    if PHONE_HASH.fullmatch(to):
        return {"receiver_phone": to}
    raise ValueError(f"{to!r} is no uid, no number such as +8613800138000, and no phone hash")


def addressed(to: int | str | None, group: int | None) -> dict[str, str]:
    """The form field for one person or one group. Raises ValueError unless it is exactly one."""
    if (to is None) == (group is None):
        raise ValueError("send to one person or to one group")
    return {"group_id": str(group)} if to is None else receiver(to)


def upload_metadata(fields: Mapping[str, str]) -> str:
    """What is said of an image to tus: names, and values in base64."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in fields.items())


def authorization(who: Credentials | Session) -> str:
    """The header's value. Secrets never travel in a URL."""
    if isinstance(who, Session):
        return f"Bearer {who.access_token}"
    return "Basic " + base64.b64encode(f"{who.phone_hash}:{who.ukey}".encode()).decode()


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """What an answer of 4xx or 5xx says. One that is no problem document comes from a proxy: code `http_STATUS`."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("code"), str):
        said = {"code": f"http_{status}", "detail": "The answer is not the server's."}
    fields = tuple(FieldProblem(str(each["field"]), str(each["message"])) for each in said.get("errors", ()))
    return Refused(
        status=status,
        code=said["code"],
        detail=str(said.get("detail", "")),
        fields=fields,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers),
        attempts_left=said.get("attempts_left"),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, as Glimpse and the proxies before it say them."""
    said = headers.get("retry-after", "")
    return float(said) if said.isdecimal() else None


@dataclass
class Tries:
    """How long to wait before asking again, and when to give up.

    `patience` is in seconds and counted from the last progress. A request that is not `repeatable` is sent again only
    when the server cannot have acted on it.
    """

    patience: float
    repeatable: bool = True
    renewed: bool = False
    """Whether the credential was renewed for this request: that helps once."""
    failures: int = 0
    since: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """Something arrived: patience begins anew."""
        self.failures, self.since = 0, time.monotonic()

    def pause_after_break(self, error: httpx.TransportError) -> float:
        """Seconds to wait after a broken connection. Raises Unreachable."""
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        pause = self._pause()
        if not (self.repeatable or never_sent) or self._is_over(pause):
            raise Unreachable(f"no answer: {error or type(error).__name__}") from error
        return pause

    def pause_after_refusal(self, refused: Refused) -> float:
        """Seconds to wait after an answer of 4xx or 5xx. Raises the refusal when asking again makes no sense."""
        status = refused.status
        may_help = status == 429 or (self.repeatable and status in (*BUSY, *BAD_GATEWAY, 507))
        if not may_help or (status == 507 and refused.retry_after is None):
            raise refused
        pause = max(self._pause(), refused.retry_after or 0)
        if self._is_over(pause):
            raise refused
        return pause

    def _pause(self) -> float:
        self.failures += 1
        longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures - 1, 10))
        return longest * random.uniform(0.5, 1)  # noqa: S311 - it spreads, it protects nothing

    def _is_over(self, pause: float) -> bool:
        return time.monotonic() + pause > self.since + self.patience


@dataclass
class EventStream:
    """Reads Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html), as Glimpse sends them.

    `ended` is the error code with which the server ends a stream, None while it has not.
    """

    ended: str | None = None
    rest: bytes = b""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece."""
        *blocks, self.rest = (self.rest + piece).split(b"\n\n")
        for block in blocks:
            lines = [line.partition(b": ") for line in block.split(b"\n")]
            said = {name: value for name, _, value in lines}
            if b"data" not in said:
                continue
            document = json.loads(said[b"data"])
            if said.get(b"event") == b"end":
                self.ended = document["code"]
            else:
                yield read(Event, document)


@dataclass(frozen=True)
class Whole:
    """What the headers of a 200 or 206 say about the whole image: its length, its SHA-256, and a name for it.

    The name is the message_key with the extension of what the bytes are: nothing that a sender wrote is in it.
    """

    size: int
    digest: bytes
    name: str


def whole_image(headers: Mapping[str, str], message_key: str) -> Whole:
    """Reads Content-Range or Content-Length, Repr-Digest (RFC 9530) and Content-Disposition."""
    size = headers.get("content-range", "").rpartition("/")[2] or headers["content-length"]
    digest = base64.b64decode(headers["repr-digest"].removeprefix("sha-256=:").removesuffix(":"))
    found = FILE_NAME.search(headers.get("content-disposition", ""))
    name = found[1] if found and found[1].startswith(message_key) else message_key
    return Whole(int(size), digest, name)


def start_of_range(headers: Mapping[str, str]) -> int:
    """Where the bytes of a 206 begin."""
    return int(headers["content-range"].removeprefix("bytes ").partition("-")[0])


def as_json(content: bytes) -> Any:
    return json.loads(content) if content else None
