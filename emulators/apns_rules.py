# SPDX-License-Identifier: Apache-2.0
"""What the APNs emulator checks and keeps. It knows no HTTP: headers and a body in, a status and a document out.

The rules are those of Apple's provider API; where its documentation is silent, the stricter reading.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from emulators.http import Clock, Faults
from emulators.keys import p256_key

TOKEN_SECONDS = 3600
AHEAD_SECONDS = 60
UPDATE_MS = 20 * 60_000
# Apple names no number; one for every push is found at once.
UPDATES = 3
PAYLOAD_BYTES = 4096
VOIP_BYTES = 5120
COLLAPSE_ID_BYTES = 64
PUSH_TYPES = {
    "alert",
    "background",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "location",
    "liveactivity",
    "pushtotalk",
    "widgets",
    "controls",
}
SUFFIXES = {
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "location": ".location-query",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
    "widgets": ".push-type.widgets",
    "controls": ".push-type.controls",
}
# What a device management server sends has a part of its own in place of `aps`.
CONTENT = {"mdm": "mdm"}
SINGLE_HEADERS = ("apns-id", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id")
STATES = ("ok", "bad", "unregistered", "expired", "not_for_topic")
STATUS = {
    400: (
        "BadCollapseId",
        "BadDeviceToken",
        "BadExpirationDate",
        "BadMessageId",
        "BadPriority",
        "BadTopic",
        "DeviceTokenNotForTopic",
        "DuplicateHeaders",
        "IdleTimeout",
        "InvalidPushType",
        "MissingDeviceToken",
        "MissingTopic",
        "PayloadEmpty",
        "TopicDisallowed",
    ),
    403: (
        "BadCertificate",
        "BadCertificateEnvironment",
        "BadEnvironmentKeyIdInToken",
        "ExpiredProviderToken",
        "Forbidden",
        "InvalidProviderToken",
        "MissingProviderToken",
        "UnrelatedKeyIdInToken",
    ),
    404: ("BadPath",),
    405: ("MethodNotAllowed",),
    410: ("ExpiredToken", "Unregistered"),
    413: ("PayloadTooLarge",),
    429: ("TooManyProviderTokenUpdates", "TooManyRequests"),
    500: ("InternalServerError",),
    503: ("ServiceUnavailable", "Shutdown"),
}
STATUS_OF = {reason: status for status, reasons in STATUS.items() for reason in reasons}


@dataclass(frozen=True, slots=True)
class Keys:
    """A team, its signing key and an app of it."""

    team_id: str = "TESTTEAM01"
    key_id: str = "TESTKEY001"
    topic: str = "com.example.app"
    private_key: EllipticCurvePrivateKey = field(default_factory=p256_key, repr=False)


class Refused(Exception):
    """APNs says no: one of its reasons, and the time in ms that goes with a 410."""

    def __init__(self, reason: str, timestamp: int | None = None) -> None:
        super().__init__(reason)
        self.status = STATUS_OF[reason]
        self.document: dict[str, Any] = {"reason": reason}
        if self.status == 410:
            self.document["timestamp"] = timestamp


@dataclass
class Connection:
    """What APNs remembers of one connection: the provider token in use, and when it was last another."""

    token: str = ""
    updates: list[int] = field(default_factory=list)


@dataclass
class ApnsState:
    """One emulated app: its device tokens and what each received."""

    keys: Keys = field(default_factory=Keys)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    targets: dict[str, tuple[str, int]] = field(default_factory=dict)
    strict: bool = False
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    connections: int = 0
    issued: dict[str, int] = field(default_factory=dict)

    def push(self, headers: list[tuple[str, str]], body: bytes, connection: Connection) -> None:
        """`POST /3/device/{token}`. Raises Refused."""
        known = dict(headers)
        names = Counter(name for name, _ in headers)
        if any(names[header] > 1 for header in SINGLE_HEADERS):
            raise Refused("DuplicateHeaders")
        if known.get(":method") != "POST":
            raise Refused("MethodNotAllowed")
        target = _target(known.get(":path", ""))
        self._check_authorization(known.get("authorization", ""), connection)
        kind = self._check_topic(known)
        payload = check_payload(kind, body)
        check_headers(kind, known, payload)
        self._check_state(target)
        item = {name.removeprefix("apns-"): value for name, value in known.items() if name.startswith("apns-")}
        self.inbox.setdefault(target, []).append({"at": self.clock.now(), **item, "payload": payload})

    def fault(self, reason: str) -> Refused:
        """A refusal on demand."""
        return Refused(reason, self.clock.now())

    def _check_authorization(self, authorization: str, connection: Connection) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("MissingProviderToken")
        now = self.clock.now()
        if token not in self.issued:
            self.issued[token] = self._read_token(token)
        if now - self.issued[token] > 1000 * TOKEN_SECONDS:
            raise Refused("ExpiredProviderToken")
        if token == connection.token:
            return
        connection.updates = [at for at in connection.updates if now - at < UPDATE_MS]
        if connection.token and len(connection.updates) >= UPDATES:
            raise Refused("TooManyProviderTokenUpdates")
        connection.token = token
        connection.updates.append(now)

    def _read_token(self, token: str) -> int:
        """When it was issued, by this clock, in ms; its caller may go by the wall clock when it is first shown."""
        options: Any = {"verify_iat": False, "require": ["iss", "iat"]}
        try:
            known = jwt.get_unverified_header(token).get("kid") == self.keys.key_id
            claims = jwt.decode(token, self.keys.private_key.public_key(), algorithms=["ES256"], options=options)
        except jwt.InvalidTokenError:
            raise Refused("InvalidProviderToken") from None
        issued = claims["iat"]
        if not known or claims["iss"] != self.keys.team_id or type(issued) is not int:
            raise Refused("InvalidProviderToken")
        now = self.clock.now()
        age = min((now - 1000 * issued, now - self.clock.ahead_ms - 1000 * issued), key=abs)
        if age < -1000 * AHEAD_SECONDS:
            raise Refused("InvalidProviderToken")
        return now - age

    def _check_topic(self, known: Mapping[str, str]) -> str:
        topic, kind = known.get("apns-topic"), known.get("apns-push-type", "alert")
        if kind not in PUSH_TYPES:
            raise Refused("InvalidPushType")
        if not topic:
            raise Refused("MissingTopic")
        if topic.removesuffix(SUFFIXES.get(kind, "")) != self.keys.topic or not topic.endswith(SUFFIXES.get(kind, "")):
            raise Refused("BadTopic")
        return kind

    def _check_state(self, target: str) -> None:
        state, since = self.targets.get(target, ("bad" if self.strict else "ok", 0))
        match state:
            case "bad":
                raise Refused("BadDeviceToken")
            case "not_for_topic":
                raise Refused("DeviceTokenNotForTopic")
            case "unregistered":
                raise Refused("Unregistered", since)
            case "expired":
                raise Refused("ExpiredToken", since)


def _target(path: str) -> str:
    found = re.fullmatch(r"/3/device/([^/?]*)", path)
    if found is None:
        raise Refused("BadPath")
    if not found[1]:
        raise Refused("MissingDeviceToken")
    if not re.fullmatch(r"([0-9a-fA-F]{2}){32,100}", found[1]):
        raise Refused("BadDeviceToken")
    return found[1].lower()


def check_payload(kind: str, body: bytes) -> dict[str, Any]:
    """The body's JSON. Raises Refused."""
    if len(body) > (VOIP_BYTES if kind == "voip" else PAYLOAD_BYTES):
        raise Refused("PayloadTooLarge")
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    if not isinstance(payload, dict) or not payload.get(CONTENT.get(kind, "aps")):
        raise Refused("PayloadEmpty")
    if not isinstance(payload.get("aps", {}), dict):
        raise Refused("PayloadEmpty")
    return payload


def check_headers(kind: str, known: Mapping[str, str], payload: dict[str, Any]) -> None:
    """Check the optional headers. Raises Refused."""
    priority = known.get("apns-priority", "10")
    if priority not in {"10", "5", "1"}:
        raise Refused("BadPriority")
    if kind == "background":
        if priority != "5":
            raise Refused("BadPriority")
        if payload["aps"].get("content-available") != 1:
            raise Refused("PayloadEmpty")
    if not re.fullmatch(r"[0-9]{1,10}", known.get("apns-expiration", "0")):
        raise Refused("BadExpirationDate")
    if len(known.get("apns-collapse-id", "").encode()) > COLLAPSE_ID_BYTES:
        raise Refused("BadCollapseId")
    identity = known.get("apns-id", str(uuid.UUID(int=0)))
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", identity):
        raise Refused("BadMessageId")
