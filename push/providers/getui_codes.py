# SPDX-License-Identifier: Apache-2.0
"""What GeTui's answer codes mean for a push: https://docs.getui.com/getui/server/rest_v2/code/.

A device is given up on the vendor's explicit word alone; what speaks of us or of the vendor is tried again.
"""

from push.base import Gone, Outcome, Rejected, Retry

OK = 0
STARTING = 2
TOKEN_REFUSED = 10001
AUTH_LIMITED = 10003

MALFORMED = 1
BAD_PARAMETER = 20001
BAD_PUSH = 21001
TARGET_DEAD = "target user is invalid"

UNDELIVERABLE = {30005: "tag too long", 30016: "too many tags"}
MISCONFIGURED = {
    301: "the app belongs to another data centre",
    404: "wrong URL",
    405: "wrong method",
    10001: "token refused twice",
    10002: "app or address is blacklisted",
    10004: "no right to this call",
    30000: "missing right",
    30001: "missing right",
    30002: "missing right",
    30003: "missing right",
    30017: "missing right",
}
A_MINUTE = {10003, 10005, 30012, 30013, 30014, 30015, 30018}
A_DAY = {30004, 30006, 30007, 30008, 30009, 30010, 30011}
MINUTE_SECONDS = 60.0
DAY_MS = 86_400_000
# The vendor's day: UTC+8, no summer time.
CHINA_OFFSET_MS = 8 * 3_600_000
LONGEST_MESSAGE = 100


def target_is_dead(message: str) -> bool:
    """Whether these are the vendor's words for a target that no longer exists."""
    return TARGET_DEAD in message.lower()


def outcome_of(code: int, message: str, now: int) -> Outcome:
    """What a push's answer with a code other than 0 means. `now` is in milliseconds."""
    if code in {MALFORMED, BAD_PARAMETER, BAD_PUSH}:
        dead = code != MALFORMED and target_is_dead(message)
        return Gone(TARGET_DEAD) if dead else Rejected(f"{code}: {_plain(message)}")
    if code in UNDELIVERABLE:
        return Rejected(f"{code}: {UNDELIVERABLE[code]}")
    if code in MISCONFIGURED:
        return Retry(f"{code}: {MISCONFIGURED[code]}")
    if code in A_MINUTE:
        return Retry(f"{code}: per-minute limit", after=MINUTE_SECONDS)
    if code in A_DAY:
        return Retry(f"{code}: daily quota", after=_to_midnight(now))
    return Retry(f"{code}: temporary")


def _to_midnight(now: int) -> float:
    return (DAY_MS - (now + CHINA_OFFSET_MS) % DAY_MS) / 1000


def _plain(message: str) -> str:
    return "".join(character for character in message if character.isprintable())[:LONGEST_MESSAGE]
