# SPDX-License-Identifier: Apache-2.0
"""What the FCM emulator checks and keeps. It knows no HTTP: a document in, a status and a document out.

The rules are those of FCM HTTP v1 and of Google's OAuth for service accounts; where their documentation is silent,
the stricter reading.
"""

import json
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from emulators.http import Clock, Faults
from emulators.keys import pem, rsa_key

Answer = tuple[int, dict[str, Any]]

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
ASSERTION_SECONDS = 3600
AHEAD_SECONDS = 300
TOKEN_SECONDS = 3599
DATA_BYTES = 4096
LONGEST_TTL_SECONDS = 2_419_200
MESSAGE_FIELDS = {"token", "topic", "condition", "data", "notification", "android", "apns", "webpush", "fcm_options"}
ANDROID_FIELDS = {
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
}
STATES = ("ok", "unregistered", "malformed", "other_sender", "limited", "failing")
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
MALFORMED = "The registration token is not a valid FCM registration token"


@dataclass(frozen=True, slots=True)
class Keys:
    """A project and its service account."""

    project_id: str = "emulated-project"
    client_email: str = "emulator@emulated-project.iam.gserviceaccount.com"
    private_key_id: str = "0123456789abcdef0123456789abcdef01234567"
    private_key: RSAPrivateKey = field(default_factory=rsa_key, repr=False)

    def service_account(self, token_url: str) -> str:
        """The JSON file that Firebase's console would hand out."""
        document = {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": self.private_key_id,
            "private_key": pem(self.private_key),
            "client_email": self.client_email,
            "token_uri": token_url,
        }
        return json.dumps(document, indent=1) + "\n"


class Refused(Exception):
    """The vendor says no: HTTP status and document."""

    def __init__(self, status: int, document: dict[str, Any], message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, document)


@dataclass
class FcmState:
    """One emulated project: its access tokens, its registration tokens and what each received."""

    keys: Keys = field(default_factory=Keys)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    token_url: str = ""
    token_seconds: int = TOKEN_SECONDS
    access_tokens: dict[str, int] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    strict: bool = False
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def sign_in(self, grant: str, assertion: str) -> Answer:
        """`POST /token`. Raises Refused."""
        if grant != GRANT:
            raise _no_grant("unsupported_grant_type", "Invalid grant_type")
        try:
            key = self.keys.private_key.public_key()
            audiences = [GOOGLE_TOKEN_URL, self.token_url]
            options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "aud", "iat", "exp"]}
            claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=audiences, options=options)
        except jwt.InvalidTokenError as error:
            raise _no_grant("invalid_grant", f"Invalid JWT: {error}") from None
        self._check_claims(claims)
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self.access_tokens[token] = self.clock.now() + 1000 * self.token_seconds
        return 200, {"access_token": token, "expires_in": self.token_seconds, "token_type": "Bearer"}

    def check_access(self, authorization: str) -> None:
        """Raises Refused unless the header carries a token of ours that has not ended."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self.access_tokens.get(token, 0) <= self.clock.now():
            raise error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def push(self, project_id: str, body: bytes) -> Answer:
        """`POST /v1/projects/{project_id}/messages:send`. Raises Refused."""
        if project_id != self.keys.project_id:
            raise error(403, "PERMISSION_DENIED", "Permission denied on this project")
        message = check_message(body)
        target = message["token"]
        match self.targets.get(target, "unregistered" if self.strict else "ok"):
            case "unregistered":
                raise error(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED")
            case "malformed":
                raise error(400, "INVALID_ARGUMENT", MALFORMED, code="INVALID_ARGUMENT")
            case "other_sender":
                raise error(403, "PERMISSION_DENIED", "SenderId mismatch", code="SENDER_ID_MISMATCH")
            case "limited":
                raise error(429, "RESOURCE_EXHAUSTED", "Device message rate exceeded", code="QUOTA_EXCEEDED")
            case "failing":
                raise error(500, "INTERNAL", "Internal error encountered.", code="INTERNAL")
        now = self.clock.now()
        name = f"projects/{project_id}/messages/0:{1000 * now}%{secrets.token_hex(8)}"
        kept = {key: value for key, value in message.items() if key != "token"}
        self.inbox.setdefault(target, []).append({"name": name, "at": now, **kept})
        return 200, {"name": name}

    def _check_claims(self, claims: dict[str, Any]) -> None:
        if claims["iss"] != self.keys.client_email:
            raise _no_grant("invalid_grant", "Invalid issuer")
        if claims.get("scope") not in SCOPES:
            raise _no_grant("invalid_scope", "Invalid OAuth scope")
        issued, ends = claims["iat"], claims["exp"]
        if type(issued) is not int or type(ends) is not int or not 0 < ends - issued <= ASSERTION_SECONDS:
            raise _no_grant("invalid_grant", "Invalid JWT: exp must be at most an hour after iat")
        now = self.clock.now() // 1000
        # A caller goes by the wall clock, or by this one where it has been moved on.
        nows = (now, now - self.clock.ahead_ms // 1000)
        if not any(issued - AHEAD_SECONDS <= moment <= ends for moment in nows):
            raise _no_grant("invalid_grant", "Invalid JWT: not within iat and exp")


def check_message(body: bytes) -> dict[str, Any]:
    """The message of a call's body, which has a token for its target. Raises Refused."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    message = document.get("message") if isinstance(document, dict) else None
    if not isinstance(message, dict):
        raise bad_field("message", "Invalid JSON payload received.")
    for name in sorted(set(message) - MESSAGE_FIELDS):
        raise bad_field(f"message.{name}", "Cannot find field.")
    if len({"token", "topic", "condition"} & set(message)) != 1:
        raise bad_field("message", "Exactly one of token, topic or condition is required")
    if not isinstance(message.get("token"), str) or not message["token"]:
        raise bad_field("message.token", "Only tokens are emulated")
    _check_data(message)
    _check_android(message.get("android", {}))
    return message


def _check_data(message: dict[str, Any]) -> None:
    data = message.get("data", {})
    if not isinstance(data, dict) or any(not isinstance(value, str) for value in data.values()):
        raise bad_field("message.data", "Every value is a string")
    for name in data:
        if name in {"from", "message_type"} or name.startswith(("google.", "gcm.")):
            raise bad_field(f"message.data.{name}", "Invalid data payload key")
    shown = message.get("notification", {})
    if not isinstance(shown, dict):
        raise bad_field("message.notification", "Invalid value")
    size = sum(len(str(name).encode()) + len(str(value).encode()) for name, value in [*data.items(), *shown.items()])
    if size > DATA_BYTES:
        raise error(400, "INVALID_ARGUMENT", "Message is too big", code="INVALID_ARGUMENT")


def _check_android(android: Any) -> None:
    if not isinstance(android, dict):
        raise bad_field("message.android", "Invalid value")
    for name in sorted(set(android) - ANDROID_FIELDS):
        raise bad_field(f"message.android.{name}", "Cannot find field.")
    if str(android.get("priority", "normal")).lower() not in {"normal", "high"}:
        raise bad_field("message.android.priority", "Invalid value")
    ttl = android.get("ttl", "0s")
    found = re.fullmatch(r"([0-9]{1,7})(\.[0-9]{1,9})?s", ttl) if isinstance(ttl, str) else None
    if found is None or int(found[1]) > LONGEST_TTL_SECONDS:
        raise bad_field("message.android.ttl", "Invalid duration")


def error(http: int, status: str, message: str, *, code: str = "") -> Refused:
    """An error as FCM words it; `code` is FCM's own, where it has one."""
    document: dict[str, Any] = {"code": http, "message": message, "status": status}
    if code:
        document["details"] = [{"@type": FCM_ERROR, "errorCode": code}]
    return Refused(http, {"error": document}, f"{code or status}: {message}")


def bad_field(name: str, description: str) -> Refused:
    """What FCM says of a field that it does not take."""
    refused = error(400, "INVALID_ARGUMENT", description, code="INVALID_ARGUMENT")
    violation = {"@type": BAD_REQUEST, "fieldViolations": [{"field": name, "description": description}]}
    refused.answer[1]["error"]["details"].append(violation)
    return refused


def _no_grant(code: str, description: str) -> Refused:
    return Refused(400, {"error": code, "error_description": description}, f"{code}: {description}")
