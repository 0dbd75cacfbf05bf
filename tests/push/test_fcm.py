# SPDX-License-Identifier: Apache-2.0
"""The FCM provider against the emulator, over real sockets, and the emulator by itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import jwt
import pytest

from emulators.fcm import Running, running
from emulators.fcm_rules import Keys
from emulators.http import Fault
from emulators.keys import pem, rsa_key
from httpclient.http1 import Answer, HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry, VisibleText
from push.providers.blame import FEW
from push.providers.fcm import FcmProvider
from push.providers.fcm_auth import GRANT, TOKEN_URL, FcmCredentials, read_service_account
from push.providers.fcm_codes import outcome_of, read_answer
from tests.push.crowd import outcomes_beside_one_that_hangs
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio
KEYS = Keys()
PAYLOAD = '{"sender_phone":"ab","sender_uid":7,"message_id":42,"message_key":null}'


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running(KEYS) as emulator:
        yield emulator


def provider_for(
    vendor: Running, keys: Keys = KEYS, *, seconds: float = PATIENCE, clock: Callable[[], int] | None = None
) -> FcmProvider:
    credentials = read_service_account(keys.service_account(vendor.state.token_url), base_url=vendor.url)
    http = HttpClient(connect_seconds=PATIENCE, answer_seconds=seconds)
    text = VisibleText("Title", "Text")
    return FcmProvider(credentials, http, text=text, clock=clock or vendor.state.clock.now)


@pytest.fixture
async def fcm(vendor: Running) -> AsyncIterator[FcmProvider]:
    provider = provider_for(vendor)
    yield provider
    await provider.close()


def a_push(number: int = 0, *, payload: str = PAYLOAD, device_type: str = "ANDROID", ttl: int = 86_400) -> Push:
    return Push(f"token{number}", payload, f"{number:032x}", ttl, device_type)


def received(vendor: Running) -> dict[str, int]:
    return {token: len(items) for token, items in vendor.state.inbox.items()}


def meet(vendor: Running, kind: str, times: int = 1, after: int = 0) -> None:
    vendor.state.faults.queue.append(Fault(kind, times, after))


async def test_push_is_a_data_message_of_high_priority(vendor: Running, fcm: FcmProvider) -> None:
    assert await fcm.send([a_push(1)]) == [Delivered()]
    [item] = vendor.state.inbox["token1"]
    assert item["data"] == {"sender_phone": "ab", "sender_uid": "7", "message_id": "42"}
    assert item["android"] == {"priority": "high", "ttl": "86400s"}
    assert set(item) == {"name", "at", "data", "android"}
    assert vendor.state.violations == []


async def test_iphone_is_shown_the_fixed_text_and_a_browser_has_its_ttl(vendor: Running, fcm: FcmProvider) -> None:
    pushes = [a_push(1, device_type="IOS"), a_push(2, device_type="WEB", ttl=10**9)]
    assert await fcm.send(pushes) == [Delivered()] * 2
    [iphone], [browser] = vendor.state.inbox["token1"], vendor.state.inbox["token2"]
    assert iphone["apns"]["payload"]["aps"]["alert"] == {"title": "Title", "body": "Text"}
    assert iphone["apns"]["headers"]["apns-collapse-id"] == pushes[0].dedupe_id
    assert browser["webpush"]["headers"]["TTL"] == "2419200"
    assert browser["android"]["ttl"] == "2419200s"


async def test_data_too_large_is_rejected_and_the_rest_go(vendor: Running, fcm: FcmProvider) -> None:
    def data(size: int) -> str:
        return json.dumps({"k": "x" * (size - 1)})

    outcomes = await fcm.send([a_push(1, payload=data(4097)), a_push(2, payload=data(4096))])
    assert outcomes == [Rejected("data over 4096 bytes"), Delivered()]
    assert received(vendor) == {"token2": 1}


async def test_refused_token_is_renewed_once_and_the_message_sent_again(vendor: Running, fcm: FcmProvider) -> None:
    """Twice, since every refused token that has served is renewed."""
    for number in (1, 2):
        meet(vendor, "401")
        assert await fcm.send([a_push(number)]) == [Delivered()]
    assert received(vendor) == {"token1": 1, "token2": 1}
    assert vendor.state.calls == {"token": 3, "send": 4}


async def test_concurrent_senders_renew_the_token_once(vendor: Running, fcm: FcmProvider) -> None:
    await fcm.send([a_push(0)])
    vendor.state.access_tokens.clear()
    batches = [[a_push(16 * n + m) for m in range(16)] for n in range(1, 4)]
    outcomes = await asyncio.gather(*(fcm.send(batch) for batch in batches))
    assert outcomes == [[Delivered()] * 16] * 3
    assert vendor.state.calls["token"] == 2
    assert received(vendor) == {f"token{n}": 1 for n in [0, *range(16, 64)]}


async def test_storm_of_401_ends_no_device_and_does_not_hammer_the_token_endpoint(
    vendor: Running, fcm: FcmProvider
) -> None:
    meet(vendor, "401", times=1000)
    for _ in range(5):
        outcomes = await fcm.send([a_push(n) for n in range(16)])
        assert all(isinstance(outcome, Retry) and outcome.provider_fault for outcome in outcomes)
    assert vendor.state.calls["token"] <= 2
    assert received(vendor) == {}
    vendor.state.faults.queue.clear()
    vendor.state.clock.ahead_ms += 5_000
    assert await fcm.send([a_push(1)]) == [Delivered()]


async def test_token_is_renewed_before_its_end(vendor: Running, fcm: FcmProvider) -> None:
    await fcm.send([a_push(1)])
    vendor.state.clock.ahead_ms += 54 * 60_000
    await fcm.send([a_push(2)])
    assert vendor.state.calls["token"] == 1
    vendor.state.clock.ahead_ms += 60_000
    await fcm.send([a_push(3)])
    assert vendor.state.calls["token"] == 2
    assert vendor.state.violations == []


async def test_token_that_ended_by_the_vendors_clock_alone_is_renewed_and_the_push_sent(vendor: Running) -> None:
    provider = provider_for(vendor, clock=lambda: time.time_ns() // 1_000_000)
    assert await provider.send([a_push(1)]) == [Delivered()]
    vendor.state.clock.ahead_ms += 3_600_000
    assert await provider.send([a_push(2)]) == [Delivered()]
    assert (received(vendor), vendor.state.calls["token"]) == ({"token1": 1, "token2": 1}, 2)
    await provider.close()


async def test_token_at_hand_serves_while_the_token_endpoint_is_down(vendor: Running, fcm: FcmProvider) -> None:
    await fcm.send([a_push(1)])
    vendor.state.token_url, was = "elsewhere", vendor.state.keys
    vendor.state.keys = Keys()
    vendor.state.clock.ahead_ms += 56 * 60_000
    assert await fcm.send([a_push(2)]) == [Delivered()]
    assert vendor.state.calls["token"] == 2
    vendor.state.clock.ahead_ms += 4 * 60_000
    assert await fcm.send([a_push(3)]) == [Retry("auth: HTTP 400 invalid_grant")]
    vendor.state.keys = was
    vendor.state.clock.ahead_ms += 5_000
    assert await fcm.send([a_push(3)]) == [Delivered()]


async def test_clock_that_was_wrong_and_set_back_holds_up_nothing(vendor: Running) -> None:
    ahead = 365 * 86_400_000
    provider = provider_for(vendor, clock=lambda: vendor.state.clock.now() + ahead)
    [refused] = await provider.send([a_push()])
    assert isinstance(refused, Retry)
    ahead = 0
    assert await provider.send([a_push()]) == [Delivered()]
    await provider.close()


async def test_wrong_key_is_retried_and_does_not_hammer_the_vendor(vendor: Running) -> None:
    provider = provider_for(vendor, Keys())
    outcomes = await asyncio.gather(*(provider.send([a_push(n)]) for n in range(30)))
    assert outcomes == [[Retry("auth: HTTP 400 invalid_grant")]] * 30
    assert vendor.state.calls == {"token": 1}
    await provider.close()


async def test_outcomes_are_each_push_s_own_and_in_order(vendor: Running, fcm: FcmProvider) -> None:
    vendor.state.targets.update(token1="unregistered", token2="malformed", token3="other_sender")
    assert await fcm.send([a_push(n) for n in range(6)]) == [
        Delivered(),
        Gone("UNREGISTERED"),
        Gone("malformed token"),
        Retry("HTTP 403 SENDER_ID_MISMATCH", provider_fault=False),
        Delivered(),
        Delivered(),
    ]
    assert received(vendor) == {"token0": 1, "token4": 1, "token5": 1}


async def test_tokens_of_another_project_are_the_provider_s_fault_only_where_all_are(
    vendor: Running, fcm: FcmProvider
) -> None:
    """Else one person could stop everybody's pushes with devices of a project of their own."""
    vendor.state.targets.update({f"token{number}": "other_sender" for number in range(1, 31)})

    async def blamed() -> list[bool]:
        outcomes = [outcome for number in range(1, 31) for outcome in await fcm.send([a_push(number)])]
        assert {type(outcome) for outcome in outcomes} == {Retry}
        return [isinstance(outcome, Retry) and outcome.provider_fault for outcome in outcomes]

    assert await blamed() == [False] * FEW + [True] * (30 - FEW)
    assert await fcm.send([a_push(0)]) == [Delivered()]
    assert await blamed() == [False] * 30


async def test_error_of_one_push_is_not_shared_between_parallel_sends(vendor: Running, fcm: FcmProvider) -> None:
    """A few of many parallel pushes meet a fault each: as many outcomes are of that fault, and no more."""
    await fcm.send([a_push(0)])
    for kind in ("hang_before", "reset_before", "INTERNAL", "INVALID_ARGUMENT", "502"):
        meet(vendor, kind, after=3)
    assert await outcomes_beside_one_that_hangs(fcm, a_push) == {
        Delivered(): 26,
        Retry("connection broken"): 1,
        Retry("HTTP 500 INTERNAL"): 1,
        Rejected("HTTP 400 INVALID_ARGUMENT message.android.ttl"): 1,
        Retry("HTTP 502"): 1,
    }


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("QUOTA_EXCEEDED", Retry("HTTP 429 QUOTA_EXCEEDED", after=2.0, provider_fault=False)),
        ("429", Retry("HTTP 429 QUOTA_EXCEEDED", after=60.0, provider_fault=False)),
        ("RESOURCE_EXHAUSTED", Retry("HTTP 429", after=60.0)),
        ("UNAVAILABLE", Retry("HTTP 503 UNAVAILABLE", after=2.0)),
        ("503", Retry("HTTP 503 UNAVAILABLE")),
        ("INTERNAL", Retry("HTTP 500 INTERNAL")),
        ("502", Retry("HTTP 502")),
        ("403", Retry("HTTP 403")),
        ("404", Retry("HTTP 404")),
        ("THIRD_PARTY_AUTH_ERROR", Retry("HTTP 401 THIRD_PARTY_AUTH_ERROR", provider_fault=False)),
        ("SENDER_ID_MISMATCH", Retry("HTTP 403 SENDER_ID_MISMATCH", provider_fault=False)),
        ("UNREGISTERED", Gone("UNREGISTERED")),
        ("MALFORMED_TOKEN", Gone("malformed token")),
        ("INVALID_ARGUMENT", Rejected("HTTP 400 INVALID_ARGUMENT message.android.ttl")),
        ("truncated", Retry("HTTP 200")),
        ("redirect", Retry("HTTP 302")),
        ("huge", Retry("answer too large")),
        ("reset_before", Retry("connection broken")),
    ],
)
async def test_fault_becomes_an_outcome(vendor: Running, fcm: FcmProvider, kind: str, outcome: Outcome) -> None:
    meet(vendor, kind)
    assert await fcm.send([a_push(1)]) == [outcome]
    assert vendor.state.calls["token"] == 1
    assert await fcm.send([a_push(1)]) == [Delivered()]


async def test_silent_vendor_is_cut_off(vendor: Running) -> None:
    provider = provider_for(vendor, seconds=1)
    meet(vendor, "hang_after")
    assert await provider.send([a_push(1)]) == [Retry("timed out")]
    assert received(vendor) == {"token1": 1}
    await provider.close()


async def test_nobody_listening_is_retried() -> None:
    async with running(KEYS) as vendor:
        provider = provider_for(vendor)
    assert await provider.send([a_push(1)]) == [Retry("auth: cannot connect")]
    await provider.close()


def answer(status: int, error: Any, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps({"error": error}).encode())


def field_error(message: str, *fields: str, code: str = "") -> dict[str, Any]:
    details: list[Any] = [{"fieldViolations": [{"field": field, "description": "?"} for field in fields]}]
    details += [{"errorCode": code}] if code else []
    return {"code": 400, "status": "INVALID_ARGUMENT", "message": message, "details": details}


MALFORMED = "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, field_error(MALFORMED, "message.token"), Gone),
        (400, field_error("Invalid registration", "message.token", code="INVALID_ARGUMENT"), Gone),
        (400, field_error(MALFORMED, "message.data"), Rejected),
        (400, field_error("?", "message.token", "message.android.ttl"), Rejected),
        (
            400,
            {"status": "INVALID_ARGUMENT", "message": MALFORMED, "details": [{"errorCode": "INVALID_ARGUMENT"}]},
            Gone,
        ),
        (400, {"status": "INVALID_ARGUMENT", "message": "Message is too big"}, Rejected),
        (400, {"status": "FAILED_PRECONDITION"}, Retry),
        (404, {"status": "NOT_FOUND", "message": "Requested entity was not found."}, Retry),
        (401, {"details": [{"errorCode": "UNREGISTERED"}]}, Retry),
        (403, {"details": [{"errorCode": "UNREGISTERED"}]}, Retry),
        (500, {"details": [{"errorCode": "UNREGISTERED"}]}, Retry),
        (404, {"details": {"errorCode": "UNREGISTERED"}}, Retry),
        (404, {"details": [None, {"errorCode": ["UNREGISTERED"]}]}, Retry),
        (400, {"status": ["INVALID_ARGUMENT"], "details": [{"fieldViolations": {"field": 1}}]}, Retry),
        (418, "teapot", Retry),
        (200, {}, Retry),
    ],
)
def test_only_fcms_words_about_the_token_end_a_device(status: int, error: Any, expected: type[Outcome]) -> None:
    said = read_answer(answer(status, error))
    assert not isinstance(said, Delivered)
    outcome = outcome_of(said)
    assert isinstance(outcome, expected)
    assert not isinstance(outcome, Retry) or outcome.provider_fault


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no JSON"),
        ("[]", "has no project_id, client_email, private_key"),
        ('{"project_id": "p", "client_email": 7, "private_key": "k"}', "has no client_email"),
    ],
)
def test_service_account_that_is_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_service_account(text)


@pytest.mark.parametrize(
    "private_key", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
async def test_private_key_that_is_none_is_refused_at_the_start(private_key: str) -> None:
    http = HttpClient()
    with pytest.raises(ValueError, match="RSA key"):
        FcmProvider(FcmCredentials("p", "e", private_key), http, text=VisibleText("Title", "Text"))
    await http.close()


def assertion(key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {"iss": KEYS.client_email, "scope": "https://www.googleapis.com/auth/firebase.messaging"}
    claims |= {"aud": TOKEN_URL, "iat": now, "exp": now + 3600} | changes
    return jwt.encode(claims, key or KEYS.private_key, algorithm=algorithm)


async def test_emulator_refuses_what_google_refuses(vendor: Running) -> None:
    now = int(time.time())

    async def asked(http: httpx.AsyncClient, signed: str, grant: str = GRANT) -> tuple[int, str]:
        reply = await http.post(f"{vendor.url}/token", data={"grant_type": grant, "assertion": signed})
        return reply.status_code, reply.json().get("error", "")

    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        assert await asked(http, assertion()) == (200, "")
        assert await asked(http, assertion(aud=vendor.state.token_url)) == (200, "")
        assert await asked(http, assertion(), grant="password") == (400, "unsupported_grant_type")
        for wrong in (
            assertion(rsa_key()),
            assertion("k" * 32, "HS256"),
            assertion(iss="somebody"),
            assertion(aud="elsewhere"),
            assertion(exp=now + 3700),
            assertion(iat=now + 1000, exp=now + 2000),
            assertion(iat=now - 4000, exp=now - 400),
            "no.token.atall",
        ):
            assert await asked(http, wrong) == (400, "invalid_grant")
        assert await asked(http, assertion(scope="email")) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"token": ""}, "message.token"),
        ({"token": None}, "message"),
        ({"topic": "all"}, "message"),
        ({"data": {"n": 1}}, "message.data"),
        ({"data": {"google.x": "1"}}, "message.data.google.x"),
        ({"android": {"ttl": "1d"}}, "message.android.ttl"),
        ({"android": {"priority": "loud"}}, "message.android.priority"),
        ({"invented": 1}, "message.invented"),
    ],
)
async def test_emulator_refuses_messages_that_fcm_refuses(
    vendor: Running, fcm: FcmProvider, changes: dict[str, Any], field: str
) -> None:
    await fcm.send([a_push(0)])
    access = next(iter(vendor.state.access_tokens))
    async with httpx.AsyncClient(trust_env=False, verify=False, headers={"Authorization": f"Bearer {access}"}) as http:
        url = f"{vendor.url}/v1/projects/{KEYS.project_id}/messages:send"
        reply = await http.post(url, json={"message": {"token": "t", **changes}})
        assert reply.status_code == 400
        assert reply.json()["error"]["details"][1]["fieldViolations"][0]["field"] == field
        elsewhere = await http.post(url.replace(KEYS.project_id, "other"), json={"message": {"token": "t"}})
        assert (elsewhere.status_code, elsewhere.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "t" not in vendor.state.inbox


async def test_emulator_is_read_and_set_from_outside(vendor: Running, fcm: FcmProvider) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False, base_url=vendor.url) as http:
        assert (await http.post("/__token", json={"token": "token1", "state": "unregistered"})).status_code == 200
        assert (await http.post("/__token", json={"token": "token1", "state": "lost"})).status_code == 400
        assert (await http.post("/__fault", json={"kind": "INTERNAL", "after": 2})).status_code == 200
        outcomes = [(await fcm.send([a_push(n, payload='{"k":"<b>"}')]))[0] for n in range(3)]
        assert outcomes == [Delivered(), Gone("UNREGISTERED"), Retry("HTTP 500 INTERNAL")]
        [item] = (await http.get("/__inbox", params={"token": "token0"})).json()
        assert item["data"] == {"k": "<b>"}
        assert "&lt;b&gt;" in (await http.get("/")).text
        assert (await http.get("/__calls")).json() == {"send": 3, "token": 1}
        assert (await http.get("/__violations")).json() == ["UNREGISTERED: Requested entity was not found."]
        assert (await http.post("/__strict", json={"on": True})).status_code == 200
        assert await fcm.send([a_push(9)]) == [Gone("UNREGISTERED")]
        assert (await http.post("/__reset", json={})).status_code == 200
        assert (await http.get("/__inbox")).json() == {}
    assert await fcm.send([a_push(9)]) == [Delivered()]


def test_secrets_are_not_shown() -> None:
    credentials = read_service_account(KEYS.service_account(TOKEN_URL))
    assert credentials.private_key == pem(KEYS.private_key)
    assert "PRIVATE" not in repr(credentials)
    assert "PRIVATE" not in repr(KEYS)


async def test_limit_that_one_person_s_devices_meet_speaks_of_nobody_else(vendor: Running, fcm: FcmProvider) -> None:
    limited = [a_push(n) for n in range(FEW)]
    vendor.state.targets.update({push.token: "limited" for push in limited})
    outcomes = [*await fcm.send(limited), *await fcm.send(limited)]
    assert outcomes == [Retry("HTTP 429 QUOTA_EXCEEDED", after=60.0, provider_fault=False)] * 2 * FEW
    assert await fcm.send([a_push(FEW)]) == [Delivered()]


async def test_limit_that_many_devices_meet_within_a_minute_is_the_project_s(vendor: Running, fcm: FcmProvider) -> None:
    pushes = [a_push(n) for n in range(FEW + 1)]
    vendor.state.targets.update({push.token: "limited" for push in pushes})
    await fcm.send(pushes[:-1])
    assert await fcm.send([a_push(1000)]) == [Delivered()]
    of_all = Retry("HTTP 429 QUOTA_EXCEEDED", after=60.0)
    assert await fcm.send(pushes[-1:]) == [of_all]
    vendor.state.clock.ahead_ms += 60_000
    [outcome] = await fcm.send(pushes[-1:])
    assert isinstance(outcome, Retry)
    assert not outcome.provider_fault
