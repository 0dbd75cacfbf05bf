# SPDX-License-Identifier: Apache-2.0
"""What a token looks like at each provider."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.providers.webpush_crypto import parse_subscription
from push.registry import read_token

PROVIDERS = ("getui", "fcm", "apns", "webpush", "ntfy", "webhook", "log")
ENDPOINT = "https://push.example/wpush/v2/gAAA"
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"


def subscription(**changes: Any) -> dict[str, Any]:
    keys = {"p256dh": POINT, "auth": AUTH} | {name: changes.pop(name) for name in ("p256dh", "auth") if name in changes}
    return {"endpoint": ENDPOINT, "expirationTime": None, "keys": keys, **changes}


def padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def off_curve() -> str:
    point = bytearray(base64.urlsafe_b64decode(padded(POINT)))
    point[-1] ^= 1
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


@pytest.mark.parametrize(
    "value",
    [
        subscription(),
        json.dumps(subscription()),
        json.dumps(subscription(), indent=2, sort_keys=True),
        subscription(p256dh=padded(POINT), auth=padded(AUTH)),
    ],
)
def test_a_subscription_is_one_token_however_it_is_written(value: Any) -> None:
    token = read_token("webpush", value)
    assert token == read_token("webpush", subscription())
    assert token.endpoint == ENDPOINT
    kept = parse_subscription(token.text)
    assert (kept.endpoint, kept.auth) == (ENDPOINT, base64.urlsafe_b64decode(padded(AUTH)))


SPELLINGS = [
    "https://a.example/x%20y?q",
    "HTTPS://A.Example:443/x%20y?q",
    "https://a.example/x%20y?q#part",
    "https://a.example/./z/../x%20y?q",
]


@pytest.mark.parametrize(
    ("provider", "value", "text", "endpoint"),
    [
        ("getui", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef", None),
        ("getui", "c" * 64, "c" * 64, None),
        ("fcm", "cX1:APA91b_-" + "x" * 150, "cX1:APA91b_-" + "x" * 150, None),
        ("apns", "AB" * 32, "ab" * 32, None),
        ("apns", "0" * 200, "0" * 200, None),
        ("ntfy", "https://ntfy.sh/up?up=1", "https://ntfy.sh/up?up=1", "https://ntfy.sh/up?up=1"),
        ("webhook", "https://a.example/", "https://a.example/", "https://a.example/"),
        *(("ntfy", url, "https://a.example/x%20y?q", url) for url in SPELLINGS),
        ("log", "the phone of Änn, 4096 at most", "the phone of Änn, 4096 at most", None),
    ],
)
def test_a_token_is_kept_as_its_provider_wants_it(provider: str, value: str, text: str, endpoint: str | None) -> None:
    token = read_token(provider, value)
    assert (token.text, token.endpoint) == (text, endpoint)


NO_TEXT: list[Any] = ["", None, 7, True, []]


@pytest.mark.parametrize(
    ("provider", "value"),
    [
        *((provider, value) for provider in PROVIDERS for value in NO_TEXT),
        ("ntfy", {}),
        ("getui", "c" * 65),
        ("getui", "two words"),
        ("fcm", "x" * 4097),
        ("fcm", "späti"),
        ("fcm", "a\nb"),
        ("apns", "ab" * 31),
        ("apns", "0" * 201),
        ("apns", "zz" * 32),
        ("apns", "ab" * 32 + "\n"),
        ("log", "x" * 4097),
        ("log", "a\x00b"),
        ("log", "a\u2028b"),
        ("webpush", "{"),
        ("webpush", "null"),
        ("webpush", "[]"),
        ("webpush", ENDPOINT),
        ("webpush", {"endpoint": ENDPOINT}),
        ("webpush", subscription(endpoint=7)),
        ("webpush", subscription(endpoint=None)),
        ("webpush", subscription(keys=None)),
        ("webpush", subscription(keys=[POINT, AUTH])),
        ("webpush", subscription(p256dh=off_curve())),
        ("webpush", subscription(p256dh=POINT[:-2])),
        ("webpush", subscription(p256dh=base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode())),
        ("webpush", subscription(p256dh="A" * 87)),
        ("webpush", subscription(p256dh=7)),
        ("webpush", subscription(auth="AA")),
        ("webpush", subscription(auth="")),
        ("webpush", subscription(auth=AUTH + "AA")),
        ("webpush", subscription(auth="ä" * 22)),
        ("webpush", '{"endpoint":' + "[" * 5000),
    ],
)
def test_such_a_token_is_refused_and_the_reason_does_not_show_it(provider: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"must be .+") as refused:
        read_token(provider, value)
    assert not (isinstance(value, str) and value) or value not in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["endpoint", "keys", "p256dh", "auth"]), inner),
)


@given(st.sampled_from(PROVIDERS), JSON)
def test_any_json_is_a_token_or_refused(provider: str, value: Any) -> None:
    try:
        token = read_token(provider, value)
    except ValueError:
        return
    assert token.text.encode()
