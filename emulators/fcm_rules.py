# SPDX-License-Identifier: Apache-2.0
"""What the FCM emulator checks and keeps. It knows no HTTP: a document in, a status and a document out.

The rules are those of FCM HTTP v1 and of Google's OAuth for service accounts; where their documentation is silent,
the stricter reading.
"""

import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from emulators.fcm_message import TOPIC, TOPICS, Answer, Refused, bad_field, error, read_message
from emulators.http import Clock, Faults
from emulators.keys import pem, rsa_key

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
ASSERTION_SECONDS = 3600
AHEAD_SECONDS = 300
TOKEN_SECONDS = 3599
STATES = ("ok", "unregistered", "malformed", "other_sender", "limited", "failing")
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


@dataclass
class FcmState:
    """One emulated project: its access tokens, its registration tokens and what each received.

    `topics` are the tokens that listen to each.
    """

    keys: Keys = field(default_factory=Keys)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    token_url: str = ""
    token_seconds: int = TOKEN_SECONDS
    access_tokens: dict[str, int] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    topics: dict[str, set[str]] = field(default_factory=dict)
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
        message = read_message(body)
        self._check_target(message.target)
        name = f"projects/{project_id}/messages/"
        if message.dry_run:
            return 200, {"name": f"{name}fake_message_id"}
        now = self.clock.now()
        name += f"0:{1000 * now}%{secrets.token_hex(8)}"
        for target in (message.target, *sorted(self.topics.get(message.target, ()))):
            self.inbox.setdefault(target, []).append({"name": name, "at": now, **message.content})
        return 200, {"name": name}

    def subscribe(self, token: str, topic: str, *, on: bool) -> Answer:
        """Have a token listen to a topic, or no longer. Raises Refused."""
        if not TOPIC.fullmatch(topic):
            raise bad_field("topic_name", "Invalid topic name")
        self._check_target(token)
        subscribed = self.topics.setdefault(TOPICS + topic, set())
        (subscribed.add if on else subscribed.discard)(token)
        return 200, {}

    def subscribe_many(self, body: bytes, *, on: bool) -> Answer:
        """The same for many tokens at once, as Google's Instance ID service takes it; a result for each."""
        document = json.loads(body)
        topic = str(document["to"]).removeprefix(TOPICS)
        results: list[dict[str, str]] = []
        for token in document["registration_tokens"]:
            try:
                self.subscribe(token, topic, on=on)
                results.append({})
            except Refused:
                results.append({"error": "NOT_FOUND"})
        return 200, {"results": results}

    def _check_target(self, target: str) -> None:
        """Raises Refused for a token that is not as it should be."""
        usual = "unregistered" if self.strict and not target.startswith(TOPICS) else "ok"
        match self.targets.get(target, usual):
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

    def _check_claims(self, claims: dict[str, Any]) -> None:
        if claims["iss"] != self.keys.client_email:
            raise _no_grant("invalid_grant", "Invalid issuer")
        # A client asks for all that it may need, one space between two.
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            raise _no_grant("invalid_scope", "Invalid OAuth scope")
        issued, ends = claims["iat"], claims["exp"]
        if type(issued) is not int or type(ends) is not int or not 0 < ends - issued <= ASSERTION_SECONDS:
            raise _no_grant("invalid_grant", "Invalid JWT: exp must be at most an hour after iat")
        now = self.clock.now() // 1000
        # A caller goes by the wall clock, or by this one where it has been moved on.
        nows = (now, now - self.clock.ahead_ms // 1000)
        if not any(issued - AHEAD_SECONDS <= moment <= ends for moment in nows):
            raise _no_grant("invalid_grant", "Invalid JWT: not within iat and exp")


def _no_grant(code: str, description: str) -> Refused:
    return Refused(400, {"error": code, "error_description": description}, f"{code}: {description}")
