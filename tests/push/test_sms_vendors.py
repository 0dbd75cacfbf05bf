# SPDX-License-Identifier: Apache-2.0
"""Twilio and Alibaba Cloud: their requests against their emulators, and frozen vectors of the signature."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from emulators import aliyun, twilio
from emulators.http import Fault
from httpclient.http1 import HttpClient
from push.sms import aliyun_signature
from push.sms.aliyun import AliyunCredentials, AliyunSms
from push.sms.base import SmsMessage, SmsNotSent, SmsSent
from push.sms.queue import SmsQueue
from push.sms.twilio import TwilioCredentials, TwilioSms

pytestmark = pytest.mark.anyio

CODE = SmsMessage("+8613800138000", "Your code is 123456", "123456")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

# Method, path, query, headers, secret; then the canonical request's SHA-256 and the signature.
VECTORS = [
    (
        {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"},
        {
            "host": "ecs.cn-shanghai.aliyuncs.com",
            "x-acs-action": "RunInstances",
            "x-acs-version": "2014-05-26",
            "x-acs-date": "2023-10-26T10:22:32Z",
            "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        },
        "YourAccessKeySecret",
        "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
        "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
    ),
    (
        {
            "PhoneNumbers": "13912345678",
            "SignName": "测试签名",
            "TemplateCode": "SMS_000000001",
            "TemplateParam": '{"code":"123456"}',
        },
        {
            "host": "dysmsapi.aliyuncs.com",
            "x-acs-action": "SendSms",
            "x-acs-version": "2017-05-25",
            "x-acs-date": "2024-01-01T00:00:00Z",
            "x-acs-signature-nonce": "00000000000000000000000000000001",
        },
        "testSecret",
        "bf19134bd88f41abaa8bf5980b6ce4bb28a946587bcc34fdcbc5a97d00bfc8da",
        "d13f076c5d7ab32e970b5ecd70ae9844cb4a6a612b60acb46600029b934a5cfe",
    ),
]


@pytest.mark.parametrize(("query", "headers", "secret", "hashed", "signed"), VECTORS)
def test_the_signature_is_the_vendors(
    query: dict[str, str], headers: dict[str, str], secret: str, hashed: str, signed: str
) -> None:
    headers = {**headers, "x-acs-content-sha256": EMPTY_SHA256, "user-agent": "not signed"}
    request, _ = aliyun_signature.canonical_request("POST", "/", aliyun_signature.canonical_query(query), headers)
    assert hashlib.sha256(request.encode()).hexdigest() == hashed
    assert aliyun_signature.signature(request, secret) == signed


def twilio_at(url: str, auth_token: str = twilio.Keys().auth_token, sender: str = twilio.Keys().sender) -> TwilioSms:
    return TwilioSms(TwilioCredentials(url, twilio.Keys().account_sid, auth_token, sender), HttpClient())


async def test_twilio_sends_the_text_to_the_number() -> None:
    async with twilio.running() as (url, vendor):
        for sender in (twilio.Keys().sender, "MG0123456789abcdef0123456789abcdef"):
            sms = twilio_at(url, sender=sender)
            assert await sms.send(CODE) == SmsSent()
            await sms.close()
        first, second = vendor.inbox[CODE.to]
        assert (first["body"], first["from"]) == (CODE.text, twilio.Keys().sender)
        assert (second["from"], second["messaging_service_sid"][:2]) == (None, "MG")
        assert vendor.violations == []


async def test_an_api_key_signs_in_for_its_account() -> None:
    keys = twilio.Keys()
    async with twilio.running() as (url, vendor):
        for sid, secret, sent in (
            (keys.api_key_sid, keys.api_key_secret, True),
            (keys.api_key_sid, keys.auth_token, False),
            ("", keys.api_key_secret, False),
        ):
            credentials = TwilioCredentials(url, keys.account_sid, secret, keys.sender, api_key_sid=sid)
            sms = TwilioSms(credentials, HttpClient())
            assert (await sms.send(CODE) == SmsSent()) == sent
            await sms.close()
        assert [one["account_sid"] for one in vendor.inbox[CODE.to]] == [keys.account_sid]


@pytest.mark.parametrize(
    ("fault", "reason", "temporary"),
    [
        ("20003", "HTTP 401, twilio error 20003", False),
        ("20404", "HTTP 404, twilio error 20404", False),
        ("20429", "HTTP 429, twilio error 20429", True),
        ("21211", "HTTP 400, twilio error 21211", False),
        ("21408", "HTTP 400, twilio error 21408", False),
        ("21610", "HTTP 400, twilio error 21610", False),
        ("21614", "HTTP 400, twilio error 21614", False),
        ("502", "HTTP 502, twilio error 0", True),
        ("redirect", "HTTP 302, twilio error 0", False),
        ("reset_after", "connection broken", False),
        ("huge", "answer too large", False),
    ],
)
async def test_what_twilio_says_decides_whether_it_is_tried_again(fault: str, reason: str, temporary: bool) -> None:
    async with twilio.running() as (url, vendor):
        vendor.faults.queue.append(Fault(fault))
        sms = twilio_at(url)
        assert await sms.send(CODE) == SmsNotSent(reason, temporary=temporary)
        await sms.close()


@pytest.mark.parametrize(("code", "to"), [("21211", "+15005551211"), ("21614", "+15005551614")])
async def test_twilios_magic_numbers_are_refused(code: str, to: str) -> None:
    async with twilio.running() as (url, vendor):
        sms = twilio_at(url)
        refused = await sms.send(SmsMessage(to, "x", "1"))
        await sms.close()
        assert refused == SmsNotSent(f"HTTP 400, twilio error {code}", temporary=False)
        assert vendor.inbox == {}


async def test_twilio_with_another_token_is_refused_and_says_so_without_it() -> None:
    async with twilio.running() as (url, _):
        sms = twilio_at(url, auth_token="another-secret")
        refused = await sms.send(CODE)
        await sms.close()
        assert isinstance(refused, SmsNotSent)
        assert "another-secret" not in refused.reason + repr(TwilioCredentials(url, "AC", "another-secret", "+1"))


def aliyun_at(url: str, secret: str = aliyun.Keys().access_key_secret, ahead: timedelta = timedelta()) -> AliyunSms:
    keys = aliyun.Keys()
    credentials = AliyunCredentials(url, keys.access_key_id, secret, keys.sign_name, keys.template_code)
    return AliyunSms(credentials, HttpClient(), now=lambda: datetime.now(UTC) + ahead)


@pytest.mark.parametrize(("to", "number"), [("+8613800138000", "13800138000"), ("+14155550123", "14155550123")])
async def test_aliyun_sends_the_code_through_the_template(to: str, number: str) -> None:
    async with aliyun.running() as (url, vendor):
        sms = aliyun_at(url)
        assert await sms.send(SmsMessage(to, "Your code is 123456", "123456")) == SmsSent()
        await sms.close()
        assert [one["param"] for one in vendor.inbox[number]] == [{"code": "123456"}]
        assert vendor.violations == []


@pytest.mark.parametrize(
    ("fault", "reason", "temporary"),
    [
        ("isv.DAY_LIMIT_CONTROL", "aliyun: isv.DAY_LIMIT_CONTROL", False),
        ("isv.OUT_OF_SERVICE", "aliyun: isv.OUT_OF_SERVICE", False),
        ("isv.AMOUNT_NOT_ENOUGH", "aliyun: isv.AMOUNT_NOT_ENOUGH", False),
        ("isp.SYSTEM_ERROR", "aliyun: isp.SYSTEM_ERROR", True),
        ("Throttling.User", "aliyun: Throttling.User", True),
        ("InvalidAccessKeyId.NotFound", "aliyun: InvalidAccessKeyId.NotFound", False),
        ("502", "aliyun: HTTP 502", True),
        ("truncated", "aliyun: HTTP 200", False),
        ("reset_after", "connection broken", False),
    ],
)
async def test_what_aliyun_says_decides_whether_it_is_tried_again(fault: str, reason: str, temporary: bool) -> None:
    async with aliyun.running() as (url, vendor):
        vendor.faults.queue.append(Fault(fault))
        sms = aliyun_at(url)
        assert await sms.send(CODE) == SmsNotSent(reason, temporary=temporary)
        await sms.close()


@pytest.mark.parametrize(
    ("secret", "ahead", "said"),
    [
        ("wrong", timedelta(), "SignatureDoesNotMatch"),
        (aliyun.Keys().access_key_secret, timedelta(minutes=16), "InvalidTimeStamp.Expired"),
    ],
)
async def test_aliyun_refuses_a_wrong_signature_and_an_old_one(secret: str, ahead: timedelta, said: str) -> None:
    async with aliyun.running() as (url, _):
        sms = aliyun_at(url, secret, ahead)
        assert await sms.send(CODE) == SmsNotSent(f"aliyun: {said}", temporary=False)
        await sms.close()


async def test_aliyuns_limit_of_a_number_is_told() -> None:
    async with aliyun.running() as (url, vendor):
        sms = aliyun_at(url)
        assert await sms.send(CODE) == SmsSent()
        assert await sms.send(CODE) == SmsNotSent("aliyun: isv.BUSINESS_LIMIT_CONTROL", temporary=False)
        vendor.clock.ahead_ms += 61_000
        assert await sms.send(CODE) == SmsSent()
        await sms.close()


async def test_an_sms_that_may_have_gone_out_is_not_sent_twice() -> None:
    async with twilio.running() as (url, vendor):
        vendor.faults.queue.append(Fault("reset_after"))
        queue = SmsQueue(twilio_at(url))
        with queue.reserve() as place:
            place.put(CODE)
        await queue.close()
        assert len(vendor.inbox[CODE.to]) == 1


async def test_an_sms_that_was_refused_for_now_is_sent_once_more() -> None:
    async with twilio.running() as (url, vendor):
        vendor.faults.queue.append(Fault("20429"))
        queue = SmsQueue(twilio_at(url))
        with queue.reserve() as place:
            place.put(CODE)
        await queue.close()
        assert len(vendor.inbox[CODE.to]) == 1


SIGNED = ("host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version")


def signed(url: str, names: tuple[str, ...], numbers: str) -> tuple[str, dict[str, str]]:
    """The address and the headers of a SendSms in which these headers are signed."""
    keys = aliyun.Keys()
    query = aliyun_signature.canonical_query(
        {
            "PhoneNumbers": numbers,
            "SignName": keys.sign_name,
            "TemplateCode": keys.template_code,
            "TemplateParam": '{"code":"1"}',
        }
    )
    headers = {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "host": url.removeprefix("http://"),
        "x-acs-action": "SendSms",
        "x-acs-content-sha256": EMPTY_SHA256,
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-security-token": "token",
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-version": "2017-05-25",
    }
    headers = {name: value for name, value in headers.items() if name in names or not name.startswith("x-acs-s")}
    lines = "".join(f"{name}:{headers.get(name, '')}\n" for name in names)
    request = "\n".join(("POST", "/", query, lines, ";".join(names), EMPTY_SHA256))
    signature = aliyun_signature.signature(request, keys.access_key_secret)
    credential = f"ACS3-HMAC-SHA256 Credential={keys.access_key_id}"
    return f"{url}/?{query}", {
        **headers,
        "Authorization": f"{credential},SignedHeaders={';'.join(names)},Signature={signature}",
    }


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (SIGNED, "OK"),
        (("accept", "content-type", *SIGNED), "OK"),
        ((*SIGNED[:4], "x-acs-security-token", *SIGNED[4:]), "OK"),
        (SIGNED[::-1], "SignatureDoesNotMatch"),
        (SIGNED[:4] + SIGNED[5:], "SignatureDoesNotMatch"),
        (("host", *SIGNED), "SignatureDoesNotMatch"),
        ((*SIGNED, "x-invented"), "SignatureDoesNotMatch"),
    ],
)
async def test_aliyuns_caller_may_sign_more_headers_but_not_fewer(names: tuple[str, ...], code: str) -> None:
    async with aliyun.running() as (url, vendor), httpx.AsyncClient(trust_env=False, verify=False) as http:
        address, headers = signed(url, names, "13800138000,8613800138001,+8613800138002,14155552671")
        answer = await http.post(address.replace("%2C", ","), headers=headers)
        assert answer.json()["Code"] == code
        numbers = ["13800138000", "13800138001", "13800138002", "14155552671"]
        assert sorted(vendor.inbox) == (numbers if code == "OK" else [])
