# SPDX-License-Identifier: Apache-2.0
"""What FCM's answers mean for a push: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode.

A device is given up on FCM's explicit word about its token alone; what speaks of our project, its rights or its
keys (401, 403, a 404 without that word) is tried again and counts against the provider. So does SENDER_ID_MISMATCH
and the lack of a key for another push service, unless it is a few devices that meet it. QUOTA_EXCEEDED may be the limit
of a device or of the project: it is the device's unless many meet it. A 429 without that word is Google's limit on the
project.
"""

from dataclasses import dataclass
from typing import Any

from httpclient.http1 import Answer
from push.base import Delivered, Gone, Outcome, Rejected, Retry

MALFORMED_TOKEN = "not a valid fcm registration token"  # noqa: S105 - FCM's words
TOKEN_FIELD = "message.token"  # noqa: S105 - a field's name
THIRD_PARTY = ("THIRD_PARTY_AUTH_ERROR", "APNS_AUTH_ERROR")
SENDER_ID_MISMATCH = "SENDER_ID_MISMATCH"
QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
CODES = (
    "UNREGISTERED",
    "INVALID_ARGUMENT",
    SENDER_ID_MISMATCH,
    QUOTA_EXCEEDED,
    "UNAVAILABLE",
    "INTERNAL",
    *THIRD_PARTY,
)
# The documentation asks for a minute where Retry-After is missing.
QUOTA_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer other than 200: the HTTP status, FCM's error code ("" without one), its words, the fields it names."""

    status: int
    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    after: float | None = None

    @property
    def token_refused(self) -> bool:
        """Whether our access token was refused, and not the key that Firebase holds for another service."""
        return self.status == 401 and self.code not in THIRD_PARTY

    @property
    def may_be_one_device(self) -> bool:
        """Whether another device might fare better: one of our project, or one that needs no key we lack."""
        return self.code in (SENDER_ID_MISMATCH, *THIRD_PARTY)

    @property
    def limits_one_device(self) -> bool:
        """Whether this may be what FCM lets a single device have."""
        return self.status == 429 and self.code == QUOTA_EXCEEDED

    @property
    def reason(self) -> str:
        """What is kept of it beside the push: `HTTP 404 UNREGISTERED`."""
        return f"HTTP {self.status} {self.code}".strip()


def read_answer(answer: Answer) -> Delivered | Failure:
    """What the answer says. A 200 without a message's name is a failure: somebody else has spoken."""
    document = answer.json_object()
    if answer.status == 200 and isinstance(document.get("name"), str):
        return Delivered()
    error = document.get("error")
    if not isinstance(error, dict):
        return Failure(answer.status, after=answer.retry_after())
    details = error.get("details")
    details = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    code = next((code for code in (detail.get("errorCode") for detail in details) if code in CODES), "")
    if not code and error.get("status") == "INVALID_ARGUMENT":
        code = "INVALID_ARGUMENT"
    message = error.get("message")
    return Failure(
        answer.status,
        code=code,
        message=message if isinstance(message, str) else "",
        fields=tuple(field for detail in details for field in _fields(detail)),
        after=answer.retry_after(),
    )


def outcome_of(failure: Failure, *, of_all: bool = True) -> Outcome:
    """What a failure means for its push. `of_all`: it speaks of more than this device, and counts against FCM."""
    if failure.status == 404 and failure.code == "UNREGISTERED":
        return Gone("UNREGISTERED")
    if failure.status == 400 and failure.code == "INVALID_ARGUMENT":
        return Gone("malformed token") if _names_the_token(failure) else Rejected(_refused_fields(failure))
    if failure.status == 429:
        after = QUOTA_SECONDS if failure.after is None else failure.after
        return Retry(failure.reason, after=after, provider_fault=of_all)
    return Retry(failure.reason, after=failure.after, provider_fault=of_all)


def _names_the_token(failure: Failure) -> bool:
    """Whether the token, and nothing but the token, is what is wrong."""
    if any(field != TOKEN_FIELD for field in failure.fields):
        return False
    return bool(failure.fields) or MALFORMED_TOKEN in failure.message.lower()


def _refused_fields(failure: Failure) -> str:
    """The reason, with the fields named: names of our own making only, since the rest could quote a token."""
    plain = [field for field in failure.fields if field.replace(".", "").replace("_", "").isalnum()]
    return " ".join([failure.reason, *plain])[:100]


def _fields(detail: dict[str, Any]) -> list[str]:
    violations = detail.get("fieldViolations")
    found = [one.get("field") for one in violations if isinstance(one, dict)] if isinstance(violations, list) else []
    return [field for field in found if isinstance(field, str)]
