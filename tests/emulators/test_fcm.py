# SPDX-License-Identifier: Apache-2.0
"""The FCM emulator itself: what its address for messages and for topics takes, and who may."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest

from emulators.fcm import Running, running
from emulators.fcm_rules import GRANT

pytestmark = pytest.mark.anyio

FIREBASE = "https://www.googleapis.com/auth/firebase.messaging"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"
MAIL = "https://www.googleapis.com/auth/userinfo.email"


class Caller:
    """Speaks the vendor's API by hand."""

    def __init__(self, vendor: Running, http: httpx.AsyncClient) -> None:
        self.vendor = vendor
        self.http = http

    async def sign_in(self, scope: str = FIREBASE) -> httpx.Response:
        keys, now = self.vendor.state.keys, int(time.time())
        claims = {"iss": keys.client_email, "scope": scope, "aud": self.vendor.state.token_url}
        assertion = jwt.encode(claims | {"iat": now, "exp": now + 3600}, keys.private_key, algorithm="RS256")
        return await self.http.post(f"{self.vendor.url}/token", data={"grant_type": GRANT, "assertion": assertion})

    async def call(self, method: str, path: str, document: Any = None) -> httpx.Response:
        return await self.http.request(method, f"{self.vendor.url}{path}", json=document)

    async def send(self, **document: Any) -> httpx.Response:
        return await self.call("POST", "/v1/projects/emulated-project/messages:send", document)


@pytest.fixture
async def caller(anyio_backend: str) -> AsyncIterator[Caller]:
    assert anyio_backend == "asyncio"
    async with running() as vendor, httpx.AsyncClient(trust_env=False, verify=False) as http:
        caller = Caller(vendor, http)
        http.headers["Authorization"] = f"Bearer {(await caller.sign_in()).json()['access_token']}"
        yield caller


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        (FIREBASE, 200),
        (f"{CLOUD} {MAIL}", 200),
        (f"{MAIL} {FIREBASE}", 200),
        (MAIL, 400),
        ("", 400),
        (f"x{CLOUD}", 400),
    ],
)
async def test_scopes_are_a_set_of_which_one_must_be_for_messages(caller: Caller, scope: str, status: int) -> None:
    answer = await caller.sign_in(scope)
    assert (answer.status_code, answer.json().get("error")) == (status, None if status == 200 else "invalid_scope")


FORMS: list[dict[str, Any]] = [
    {
        "validate_only": False,
        "message": {
            "token": "t",
            "data": {"camelCase": "kept"},
            "android": {
                "collapse_key": "k",
                "restricted_satellite_ok": True,
                "notification": {"channel_id": "c", "light_settings": {"color": {"red": 1}, "light_on_duration": "1s"}},
            },
            "apns": {"headers": {"apns-priority": "5"}, "payload": {"aps": {"mutableContent": 1}}},
            "webpush": {"notification": {"requireInteraction": True}},
            "fcm_options": {"analytics_label": "a"},
        },
    },
    {
        "validateOnly": None,
        "message": {
            "token": "t",
            "topic": None,
            "data": {"camelCase": "kept"},
            "android": {
                "collapseKey": "k",
                "restrictedSatelliteOk": True,
                "notification": {"channelId": "c", "lightSettings": {"color": {"red": 1}, "lightOnDuration": "1s"}},
            },
            "apns": {"headers": {"apns-priority": "5"}, "payload": {"aps": {"mutableContent": 1}}},
            "webpush": {"notification": {"requireInteraction": True}},
            "fcmOptions": {"analyticsLabel": "a"},
        },
    },
]


async def test_names_of_fields_may_be_written_as_the_reference_or_as_json_does(caller: Caller) -> None:
    assert [(await caller.send(**form)).status_code for form in FORMS] == [200, 200]
    first, second = ({**item, "name": "", "at": 0} for item in caller.vendor.state.inbox["t"])
    assert first == second == {"name": "", "at": 0, **{k: v for k, v in FORMS[0]["message"].items() if k != "token"}}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"token": "t", "fcm_options": {}, "fcmOptions": {}}, "message.fcm_options"),
        ({"token": "t", "android": {"notification": {"invented": 1}}}, "message.android.notification.invented"),
        ({"token": "t", "android": {"ttlSeconds": 1}}, "message.android.ttl_seconds"),
        ({"token": "t", "android": []}, "message.android"),
        ({"token": "t", "notification": "hello"}, "message.notification"),
        ({"token": "t", "fid": "f"}, "message"),
        ({"topic": "no spaces"}, "message.topic"),
        ({"condition": "anybody"}, "message.condition"),
        ({}, "message"),
        (None, "message"),
    ],
)
async def test_message_that_the_vendor_would_refuse_is_refused(caller: Caller, message: Any, field: str) -> None:
    answer = await caller.send(message=message)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][1]["fieldViolations"][0]["field"] == field
    assert caller.vendor.state.inbox == {}


async def test_request_that_is_none_or_knows_more_than_the_vendor_is_refused(caller: Caller) -> None:
    unknown = await caller.send(message={"token": "t"}, dryRun=True)
    assert unknown.json()["error"]["details"][1]["fieldViolations"][0]["field"] == "dry_run"
    wrongs: list[Any] = [[], "x", None]
    for wrong in wrongs:
        answer = await caller.call("POST", "/v1/projects/emulated-project/messages:send", wrong)
        assert answer.status_code == 400


async def test_dry_run_is_judged_and_delivers_nothing(caller: Caller) -> None:
    caller.vendor.state.targets["gone"] = "unregistered"
    answer = await caller.send(message={"token": "t"}, validate_only=True)
    assert (answer.status_code, answer.json()["name"]) == (200, "projects/emulated-project/messages/fake_message_id")
    assert (await caller.send(message={"token": "gone"}, validateOnly=True)).status_code == 404
    assert (await caller.send(message={"token": "t", "data": 1}, validateOnly=True)).status_code == 400
    assert caller.vendor.state.inbox == {}


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ({"fid": "fid-1"}, "fid-1"),
        ({"topic": "news"}, "/topics/news"),
        ({"topic": "/topics/news"}, "/topics/news"),
        ({"condition": "'news' in topics && 'sport' in topics"}, "'news' in topics && 'sport' in topics"),
    ],
)
async def test_every_kind_of_target_is_one(caller: Caller, target: dict[str, str], kept: str) -> None:
    assert (await caller.send(message=target)).status_code == 200
    assert list(caller.vendor.state.inbox) == [kept]


async def test_topic_reaches_the_tokens_that_listen(caller: Caller) -> None:
    base = "/v1/projects/emulated-project/registrations"
    assert (await caller.call("POST", f"{base}/a/topicSubscriptions?topic_name=news", {})).status_code == 200
    many = {"to": "/topics/news", "registration_tokens": ["b", "gone"]}
    caller.vendor.state.targets["gone"] = "unregistered"
    added = await caller.call("POST", "/iid/v1:batchAdd", many)
    assert added.json() == {"results": [{}, {"error": "NOT_FOUND"}]}
    assert (await caller.call("GET", "/__topics")).json() == {"/topics/news": ["a", "b"]}
    await caller.send(message={"topic": "news"})
    left = await caller.call("DELETE", f"{base}/a/topicSubscriptions/news?allow_missing=true")
    assert left.status_code == 200
    await caller.send(message={"topic": "news"})
    assert {target: len(items) for target, items in caller.vendor.state.inbox.items()} == {
        "/topics/news": 2,
        "a": 1,
        "b": 2,
    }
    assert (await caller.call("POST", "/iid/v1:batchRemove", [])).status_code == 400
    caller.http.headers["Authorization"] = "Bearer nobody"
    assert (await caller.call("POST", "/iid/v1:batchRemove", many)).status_code == 401
