# SPDX-License-Identifier: Apache-2.0
"""The form of a device's token at each push provider, so that an unusable one is refused at registration."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push.providers.webpush_crypto import parse_subscription
from push.providers.webpush_vapid import encode

LONGEST_LOG_TOKEN = 4096
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Token:
    """A token in the form in which it is stored: the same text for the same device.

    `endpoint` is where pushes go, as it was given, if the token says so itself.
    """

    text: str = field(repr=False)
    endpoint: str | None = field(default=None, repr=False)


def _visible(longest: int) -> Callable[[Any], Token]:
    form = re.compile(f"[!-~]{{1,{longest}}}")

    def read(value: Any) -> Token:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"must be 1 to {longest} visible ASCII characters")
        return Token(value)

    return read


def _hex(value: Any) -> Token:
    if not isinstance(value, str) or not re.fullmatch("[0-9A-Fa-f]{64,200}", value):
        raise ValueError("must be 64 to 200 hex digits")
    return Token(value.lower())


def _url(value: Any) -> Token:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a URL")
    return Token(_as_sent(value), endpoint=value)


def _as_sent(url: str) -> str:
    """Normalise a URL to the form in which it is requested, so that another spelling is not another device."""
    try:
        return str(httpx.URL(url).copy_with(fragment=None))
    except (httpx.InvalidURL, ValueError):  # refused later, by `Endpoints.check_form`
        return url


def _subscription(value: Any) -> Token:
    """A browser's subscription, given as an object or as its text, in one canonical form."""
    try:
        subscription = parse_subscription(value if isinstance(value, str) else json.dumps(value))
    except (ValueError, RecursionError):
        raise ValueError(
            "must be a push subscription: endpoint, and keys with p256dh, on the curve P-256, and 16 bytes of auth"
        ) from None
    point = subscription.public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"auth": encode(subscription.auth), "p256dh": encode(point)}
    text = json.dumps({"endpoint": _as_sent(subscription.endpoint), "keys": keys}, separators=(",", ":"))
    return Token(text, endpoint=subscription.endpoint)


def _text(value: Any) -> Token:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_LOG_TOKEN or UNPRINTABLE.search(value):
        raise ValueError(f"must be text of 1 to {LONGEST_LOG_TOKEN} characters, none of them a control character")
    return Token(value)


_READ: dict[str, Callable[[Any], Token]] = {
    "getui": _visible(64),
    "fcm": _visible(4096),
    "apns": _hex,
    "webpush": _subscription,
    "ntfy": _url,
    "webhook": _url,
    "log": _text,
}

PROVIDERS = frozenset(_READ)
"""The push providers that Glimpse knows, whether this server has keys for them or not."""


def read_token(provider: str, value: Any) -> Token:
    """Parse a JSON value as a token of that provider. Raises ValueError, whose text shows nothing of the token."""
    return _READ.get(provider, _text)(value)
