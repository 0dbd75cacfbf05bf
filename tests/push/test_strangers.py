# SPDX-License-Identifier: Apache-2.0
"""What strangers write: addresses that devices name, and answers of hosts that nobody knows."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat import agora, sendbird
from chat.base import ChatFailed, ChatUser
from httpclient.endpoints import NotAllowed, check_form, origin_of, parse_origin
from httpclient.http1 import Answer
from push.providers import apns_codes, fcm_codes, getui_auth
from push.registry import read_token
from push.sms import aliyun, twilio
from push.sms.base import SmsMessage, SmsNotSent
from tests.support.scripted import FixedHost

pytestmark = pytest.mark.anyio

PROVIDERS = ("getui", "fcm", "apns", "webpush", "ntfy", "webhook", "log", "unknown")
KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
DEEP = "[" * 100_000
AUTHORITY = "[]:/@#?%.\\0123456789abcdefxX-_~!$&'()*+,;= \t\n\u00e9\u3002\u2066\ud800"
URLS = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["https://", "http://", "https:", "//", "HTTPS://", "https:///", "ftp://"]),
        st.text(AUTHORITY, max_size=30),
        st.text(AUTHORITY, max_size=10),
    ),
    st.text(max_size=40),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["endpoint", "keys", "p256dh", "auth", "x"]), inner, max_size=4)
    ),
)


@given(URLS)
@example("http://[")
@example("https://[::1")
@example("https://h:99999999999999999999")
@example("https://xn--\u2066")
def test_every_address_is_judged_by_its_form_or_refused(url: str) -> None:
    for judge in (parse_origin, lambda text: check_form(text, frozenset())):
        with suppress(NotAllowed):
            judge(url)
    with suppress(ValueError):
        origin_of(url)


@pytest.mark.parametrize(
    "url", ["http://[", "https://[::1", "https://[host", "https://host]", "https://[host]", "https://]["]
)
def test_half_an_address_is_no_origin(url: str) -> None:
    with pytest.raises(NotAllowed):
        parse_origin(url)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(value=JSON_VALUES | URLS | st.builds(lambda url: {"endpoint": url, "keys": KEYS}, URLS))
@example(value=DEEP)
@example(value={"endpoint": "http://[", "keys": KEYS})
def test_every_token_is_read_or_refused(provider: str, value: Any) -> None:
    with suppress(ValueError):
        token = read_token(provider, value)
        assert token.text or token.endpoint


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_token_of_many_boxes_in_boxes_is_refused(provider: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        read_token(provider, json.loads("[" * 900 + "]" * 900))


ANSWERS: dict[str, Callable[[Answer], Any]] = {
    "apns": apns_codes.read_answer,
    "fcm": fcm_codes.read_answer,
    "getui": getui_auth.read_envelope,
}
BODIES = (DEEP.encode(), b"\xff\xfe", b"[]", b"null", b'"x"', b"1" * 5000, b'{"error":' * 5000, b"", b"{}", b"NaN")


@pytest.mark.parametrize("vendor", ANSWERS)
def test_what_a_vendor_answers_is_read_whatever_it_is(vendor: str) -> None:
    for body in BODIES:
        assert getattr(ANSWERS[vendor](Answer(500, {}, body)), "reason", "HTTP 500") in {"HTTP 500", ""}
        assert Answer(200, {}, body).json_object() == {}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_a_gateway_and_a_chat_service_that_answer_anything_have_failed(body: bytes) -> None:
    http, sms = FixedHost(Answer(200, {}, body)), SmsMessage("+8613800138000", "x", "1")
    refused = FixedHost(Answer(400, {}, body))
    by_twilio = twilio.TwilioSms(twilio.TwilioCredentials("https://t.example", "AC0", "x", "+1"), refused)
    by_aliyun = aliyun.AliyunSms(aliyun.AliyunCredentials("https://a.example", "k", "s", "n", "c"), http)
    assert await by_twilio.send(sms) == SmsNotSent("HTTP 400, twilio error 0", temporary=False)
    assert await by_aliyun.send(sms) == SmsNotSent("aliyun: HTTP 200", temporary=False)
    user = ChatUser(1, "user", "Ann")
    credentials = agora.AgoraCredentials("https://g.example", "0" * 32, "f" * 32, "", "")
    with pytest.raises(ChatFailed):
        await agora.Agora(credentials, refused, clock=lambda: 0).create(user)
    sendbirds = sendbird.Sendbird(sendbird.SendbirdCredentials("https://s.example/v3", "x"), http, clock=lambda: 0)
    with pytest.raises(ChatFailed):
        await sendbirds.token(user, channel=None, publisher=False)


@given(
    st.text('MonTueJanFeb0123456789:,+- GMTZ()\\"', max_size=40)
    | st.builds(
        "Mon, {} Jan {} {}:00:00 {}".format,
        st.integers(-5, 99),
        st.integers(-9, 99_999),
        st.integers(-3, 99),
        st.sampled_from(["GMT", "-0000", "+9999", "-9999", ""]) | st.integers(),
    )
)
def test_whatever_retry_after_says_is_seconds_or_nothing(text: str) -> None:
    seconds = Answer(503, {"retry-after": text}, b"").retry_after()
    assert seconds is None or seconds >= 0
