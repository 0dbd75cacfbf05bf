# SPDX-License-Identifier: Apache-2.0
"""What APNs' answers mean for a push.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
A device is given up on APNs' explicit word about its token alone; what speaks of our key, topic or host is tried
again and counts against the provider.
"""

from collections.abc import Callable
from dataclasses import dataclass

from httpclient.http1 import Answer
from push.base import Delivered, Gone, Outcome, Rejected, Retry
from push.providers.blame import Blame

EXPIRED_TOKEN = "ExpiredProviderToken"  # noqa: S105 - a reason's name
UNREGISTERED = {"Unregistered", "ExpiredToken"}
# Words about a token that a wrong host or topic earns every token.
DOUBTFUL = {"BadDeviceToken", "DeviceTokenNotForTopic"}
DOUBTED_IN_A_ROW = 10
BAD_MESSAGE = {
    "BadCollapseId",
    "BadExpirationDate",
    "BadMessageId",
    "BadPriority",
    "DuplicateHeaders",
    "InvalidPushType",
    "PayloadEmpty",
    "MissingDeviceToken",
    "PayloadTooLarge",
}
TOO_MANY_REQUESTS = "TooManyRequests"
IDLE = "IdleTimeout"
MISCONFIGURED = {
    "BadTopic",
    "MissingTopic",
    "TopicDisallowed",
    EXPIRED_TOKEN,
    "InvalidProviderToken",
    "MissingProviderToken",
    "Forbidden",
    "BadCertificate",
    "BadCertificateEnvironment",
    "UnrelatedKeyIdInToken",
    "BadEnvironmentKeyIdInToken",
    "BadEnvironmentKeyInToken",
    "BadPath",
    "MethodNotAllowed",
    "TooManyProviderTokenUpdates",
}
TEMPORARY = {"InternalServerError", "ServiceUnavailable", "Shutdown"}
KNOWN = {*UNREGISTERED, *DOUBTFUL, *BAD_MESSAGE, TOO_MANY_REQUESTS, IDLE, *MISCONFIGURED, *TEMPORARY}
# To one device; APNs documents no time.
DEVICE_SECONDS = 60.0
LATEST_MS = 10**14


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer other than 200: its status, its reason ("" for none that APNs documents), and a 410's time in ms."""

    status: int
    reason: str = ""
    timestamp: int | None = None
    after: float | None = None

    @property
    def token_expired(self) -> bool:
        """Whether our provider token is too old."""
        return self.status == 403 and self.reason == EXPIRED_TOKEN

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.reason}".strip()


def read_answer(answer: Answer) -> Delivered | Failure:
    """What the answer says."""
    if answer.status == 200:
        return Delivered()
    document = answer.json_object()
    reason, timestamp = document.get("reason"), document.get("timestamp")
    return Failure(
        answer.status,
        reason=reason if isinstance(reason, str) and reason in KNOWN else "",
        timestamp=timestamp if type(timestamp) is int and 0 < timestamp < LATEST_MS else None,
        after=answer.retry_after(),
    )


def outcome_of(failure: Failure) -> Outcome:
    """What a failure means for its push."""
    if failure.status == 410 and failure.reason in UNREGISTERED:
        return Gone(failure.reason, at=failure.timestamp)
    if failure.status == 400 and failure.reason in DOUBTFUL:
        return Gone(failure.reason)
    if failure.status in {400, 413} and failure.reason in BAD_MESSAGE:
        return Rejected(str(failure))
    if failure.reason == TOO_MANY_REQUESTS:
        after = DEVICE_SECONDS if failure.after is None else failure.after
        return Retry(str(failure), after=after, provider_fault=False)
    return Retry(str(failure), after=failure.after, provider_fault=failure.reason != IDLE)


class Doubt:
    """Holds a wrong host or topic against us: after ten doubtful words and no delivery among them, none is believed.

    `clock` is in milliseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._in_a_row = 0
        self._refusals = Blame(clock)

    def judge(self, token: str, outcome: Outcome) -> Outcome:
        """The outcome, or a fault of ours in its place."""
        if isinstance(outcome, Delivered):
            self._in_a_row = 0
            self._refusals.taken()
        if not isinstance(outcome, Gone) or outcome.reason not in DOUBTFUL:
            return outcome
        self._in_a_row += 1
        of_all = self._refusals.note(token)
        if self._in_a_row <= DOUBTED_IN_A_ROW:
            return outcome
        reason = f"{outcome.reason} for every device: is it the right sandbox and topic?"
        return Retry(reason, provider_fault=of_all)
