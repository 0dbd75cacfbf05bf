# SPDX-License-Identifier: Apache-2.0
"""What the Web Push emulator checks and keeps: RFC 8030, 8291 and 8292. It knows no HTTP.

The numbers of its errors are those of Mozilla's push service.
"""

import base64
import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from emulators.http import Clock, Faults

LONGEST_TTL_SECONDS = 2_592_000
BODY_BYTES = 4096
TOPIC_CHARACTERS = 32
TOKEN_SECONDS = 86_400
URGENCIES = {"very-low", "low", "normal", "high"}
STATES = ("online", "offline", "gone", "unknown")
HEADER_BYTES = 21
ERRORS = {
    "400": (400, 111, "Bad Request", "Missing TTL header"),
    "401": (401, 109, "Unauthorized", "Invalid VAPID token"),
    "403": (403, 109, "Forbidden", "The key does not match the subscription"),
    "404": (404, 102, "Not Found", "No such subscription"),
    "406": (406, 201, "Not Acceptable", "Slow down, in the word of Microsoft's service"),
    "410": (410, 106, "Gone", "The subscription has ended"),
    "413": (413, 104, "Payload Too Large", f"The body is over {BODY_BYTES} bytes"),
    "429": (429, 201, "Too Many Requests", "Slow down"),
    "500": (500, 999, "Internal Server Error", "Unknown error"),
    "503": (503, 201, "Service Unavailable", "Back off"),
}


class Refused(Exception):
    """The push service says no: HTTP status and a document."""

    def __init__(self, kind: str, message: str = "", errno: int = 0) -> None:
        status, usual, error, said = ERRORS[kind]
        super().__init__(message or said)
        self.answer: tuple[int, dict[str, Any]] = (
            status,
            {"code": status, "errno": errno or usual, "error": error, "message": message or said},
        )


@dataclass(slots=True)
class Browser:
    """One subscription with its secrets, and the only application key that may push to it, if it named one."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    auth: bytes = field(repr=False)
    application_server_key: str = ""
    state: str = "online"

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def decrypt(self, body: bytes) -> bytes:
        """The text of an `aes128gcm` body of one record. Raises ValueError."""
        salt, record_size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20] if len(body) > 20 else 0
        point, sealed = body[HEADER_BYTES : HEADER_BYTES + length], body[HEADER_BYTES + length :]
        if len(sealed) > record_size:
            raise ValueError("more than one record")
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = self.private.exchange(ec.ECDH(), sender)
        secret = _hkdf(self.auth, shared, b"WebPush: info\0" + self.public + point, 32)
        key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
        try:
            padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        except InvalidTag:
            raise ValueError("the keys do not open it") from None
        if padded[-1:] != b"\x02":
            raise ValueError("the record is not the last one")
        return padded[:-1]


@dataclass
class WebpushState:
    """One emulated push service: its subscriptions, and what each received or has waiting."""

    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    browsers: dict[str, Browser] = field(default_factory=dict)
    require_subject: bool = True
    retry_after: int = 120
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def subscribe(self, application_server_key: str = "") -> tuple[str, Browser]:
        """A new subscription and its id; with a key, only that application may push to it. Raises ValueError."""
        if application_server_key:
            _public_key(application_server_key)
        browser = Browser(ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16), application_server_key)
        name = secrets.token_urlsafe(16)
        self.browsers[name] = browser
        return name, browser

    def set_state(self, name: str, state: str) -> None:
        """Raises ValueError. Who comes online gets what waits and is still of use."""
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}")
        if name not in self.browsers:
            raise ValueError("there is no such subscription")
        self.browsers[name].state = state
        if state == "online":
            now = self.clock.now()
            items = [item for item in self.inbox.get(name, []) if item["status"] == "delivered" or item["until"] > now]
            self.inbox[name] = [item | {"status": "delivered"} for item in items]

    def push(self, name: str, origin: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Keep a push and describe it. Raises Refused."""
        browser = self.browsers.get(name)
        if browser is None or browser.state == "unknown":
            raise Refused("404")
        if browser.state == "gone":
            raise Refused("410")
        ttl = self._check(headers, body)
        self._check_vapid(headers.get("Authorization", ""), origin, browser)
        return self._keep(name, browser, headers, body, ttl)

    def _check(self, headers: Mapping[str, str], body: bytes) -> int:
        """The TTL in seconds."""
        ttl = headers.get("TTL", "")
        if not re.fullmatch("-?[0-9]{1,18}", ttl):
            raise Refused("400")
        if ttl.startswith("-"):
            raise Refused("400", "TTL must be greater than 0", 114)
        topic = headers.get("Topic", "x")
        if len(topic) > TOPIC_CHARACTERS or not re.fullmatch("[A-Za-z0-9_-]+=*", topic):
            raise Refused("400", f"Topic is not up to {TOPIC_CHARACTERS} characters of base64url", 113)
        if headers.get("Urgency", "normal") not in URGENCIES:
            raise Refused("400", "Urgency is unknown", 101)
        if len(body) > BODY_BYTES:
            raise Refused("413")
        if body and headers.get("Content-Encoding") != "aes128gcm":
            raise Refused("400", "Content-Encoding is not aes128gcm", 110)
        return min(int(ttl), LONGEST_TTL_SECONDS)  # RFC 8030, section 5.2: kept shorter, and said so

    def _check_vapid(self, header: str, origin: str, browser: Browser) -> None:
        scheme, _, rest = header.partition(" ")
        fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        token, key = fields.get("t", ""), fields.get("k", "")
        if scheme.lower() != "vapid" or not token or not key:
            raise Refused("401", "Authorization is not: vapid t=…, k=…")
        try:
            signed = jwt.PyJWS().decode(token, _public_key(key), algorithms=["ES256"])
            claims = json.loads(signed)
            if not isinstance(claims, dict):
                raise ValueError("no claims")
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Refused("401", f"The token's signature is wrong: {error}") from None
        self._check_claims(claims, origin)
        if browser.application_server_key and browser.application_server_key.rstrip("=") != key.rstrip("="):
            raise Refused("403")

    def _check_claims(self, claims: dict[str, Any], origin: str) -> None:
        now, until, subject = self.clock.now() // 1000, claims.get("exp"), claims.get("sub")
        if claims.get("aud") != origin:
            raise Refused("401", f"aud is {claims.get('aud')!r} and not {origin!r}")
        if type(until) is not int or not now < until <= now + TOKEN_SECONDS:
            raise Refused("401", "exp is not within the next 24 hours")
        if subject is None and not self.require_subject:
            return
        if not isinstance(subject, str) or not re.match(r"(mailto:[^@\s]+@|https://)[^\s/:]+\.[^\s]+", subject):
            raise Refused("401", "sub is not a mailto: or https: address of a public host (push.webpush.subject)")

    def _keep(self, name: str, browser: Browser, headers: Mapping[str, str], body: bytes, ttl: int) -> dict[str, Any]:
        try:
            text: str | None = browser.decrypt(body).decode() if body else ""
        except ValueError as error:  # a push service cannot know; the phone would stay silent
            text = None
            self.violations.append(f"{name}: cannot be decrypted: {error}")
        now, topic = self.clock.now(), headers.get("Topic")
        item = {
            "at": now,
            "message_id": secrets.token_urlsafe(12),
            "status": "delivered" if browser.state == "online" else "queued",
            "topic": topic,
            "ttl": ttl,
            "until": now + 1000 * ttl,
            "urgency": headers.get("Urgency", "normal"),
            "bytes": len(body),
            "text": text,
        }
        items = self.inbox.setdefault(name, [])
        if topic:
            self.repeated[topic] += any(other["topic"] == topic for other in items)
            items[:] = [other for other in items if other["status"] == "delivered" or other["topic"] != topic]
        if item["status"] == "delivered" or ttl:
            items.append(item)
        return item


def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    point = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
