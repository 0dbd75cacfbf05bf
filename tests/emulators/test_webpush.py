# SPDX-License-Identifier: Apache-2.0
"""The Web Push emulator, spoken to by implementations that are not ours: what it takes, what it refuses."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import http_ece
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from py_vapid.utils import b64urldecode, b64urlencode

from emulators.webpush import Running, running
from tests.support.vendors import emulators

pytestmark = pytest.mark.anyio
BODY = b'{"message_id":1}'
DAY = 86_400


class Sender:
    """An application server made of http_ece and py_vapid."""

    def __init__(self, vendor: Running, http: httpx.AsyncClient) -> None:
        self.vendor = vendor
        self.http = http
        self.vapid = Vapid02()
        self.vapid.generate_keys()

    def claims(self, **changes: Any) -> dict[str, str]:
        now = self.vendor.state.clock.now() // 1000
        wanted = {"aud": self.vendor.url, "exp": now + DAY, "sub": "mailto:ops@example.org"} | changes
        signed: dict[str, str] = self.vapid.sign(wanted)
        return signed

    def encrypt(self, subscription: dict[str, Any], text: bytes = BODY) -> bytes:
        keys = {name: b64urldecode(value.encode()) for name, value in subscription["keys"].items()}
        private = ec.generate_private_key(ec.SECP256R1())
        found: bytes = http_ece.encrypt(text, private_key=private, dh=keys["p256dh"], auth_secret=keys["auth"])
        return found

    async def push(
        self, subscription: dict[str, Any], body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, int | None]:
        """Status, and errno of a refusal. A header that is None is left out."""
        every = {"TTL": "60", "Content-Encoding": "aes128gcm", **self.claims(), **(headers or {})}
        content = self.encrypt(subscription) if body is None else body
        kept = {name: value for name, value in every.items() if value is not None}
        answer = await self.http.post(subscription["endpoint"], content=content, headers=kept)
        return answer.status_code, answer.json()["errno"] if answer.status_code >= 400 else None


@pytest.fixture
async def sender(anyio_backend: str) -> AsyncIterator[Sender]:
    assert anyio_backend == "asyncio"
    async with running() as vendor, httpx.AsyncClient(trust_env=False, verify=False) as http:
        yield Sender(vendor, http)


async def test_push_of_another_implementation_is_taken_and_read(sender: Sender) -> None:
    name, subscription = sender.vendor.subscribe()
    headers = {"TTL": "60", "Content-Encoding": "aes128gcm", **sender.claims()}
    answer = await sender.http.post(subscription["endpoint"], content=sender.encrypt(subscription), headers=headers)
    assert (answer.status_code, answer.content, answer.headers["ttl"]) == (201, b"", "60")
    assert answer.headers["location"].startswith(f"{sender.vendor.url}/m/")
    [item] = sender.vendor.state.inbox[name]
    assert (item["text"], item["status"]) == (BODY.decode(), "delivered")
    assert await sender.push(subscription, b"", {"Content-Encoding": None}) == (201, None)


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"TTL": None}, (400, 111)),
        ({"TTL": "-1"}, (400, 114)),
        ({"TTL": "soon"}, (400, 111)),
        ({"Topic": "x" * 33}, (400, 113)),
        ({"Topic": "a.b"}, (400, 113)),
        ({"Urgency": "higher"}, (400, 101)),
        ({"Content-Encoding": "aesgcm"}, (400, 110)),
        ({"Authorization": None}, (401, 109)),
        ({"Authorization": "vapid t=a.b.c,k=AA"}, (401, 109)),
        ({"Authorization": "Basic eDp5"}, (401, 109)),
    ],
)
async def test_header_that_the_service_would_refuse_is_refused(
    sender: Sender, headers: dict[str, str | None], answer: tuple[int, int]
) -> None:
    _, subscription = sender.vendor.subscribe()
    assert await sender.push(subscription, headers=headers) == answer
    assert (sender.vendor.state.inbox, len(sender.vendor.state.violations)) == ({}, 1)


async def test_token_for_others_or_for_too_long_is_refused(sender: Sender) -> None:
    _, subscription = sender.vendor.subscribe()
    now = sender.vendor.state.clock.now() // 1000
    for changes in (
        {"aud": "https://push.example"},
        {"exp": now - 1},
        {"exp": now + DAY + 60},
    ):
        assert await sender.push(subscription, headers=sender.claims(**changes)) == (401, 109), changes
    forged = sender.claims()["Authorization"].replace("t=", "t=x", 1)
    assert await sender.push(subscription, headers={"Authorization": forged}) == (401, 109)
    sender.vendor.state.clock.ahead_ms += 2 * DAY * 1000
    late = sender.claims(exp=now + DAY)
    assert await sender.push(subscription, headers=late) == (401, 109)
    assert sender.vendor.state.inbox == {}


async def test_subscription_takes_its_own_application_only(sender: Sender) -> None:
    point = sender.vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    asked = {"applicationServerKey": b64urlencode(point)}
    mine = (await sender.http.post(f"{sender.vendor.url}/subscribe", json=asked)).json()
    assert await sender.push(mine) == (201, None)
    sender.vapid.generate_keys()
    assert await sender.push(mine) == (403, 109)
    refused = await sender.http.post(f"{sender.vendor.url}/subscribe", json={"applicationServerKey": "AAAA"})
    assert refused.status_code == 400
    unknown = mine | {"endpoint": mine["endpoint"] + "x"}
    assert await sender.push(unknown) == (404, 102)


async def test_what_cannot_be_decrypted_is_taken_and_told_to_the_tester(sender: Sender) -> None:
    name, subscription = sender.vendor.subscribe()
    _, other = sender.vendor.subscribe()
    for body in (sender.encrypt(other), b"short", b"x" * 4096):
        assert await sender.push(subscription, body) == (201, None)
    assert [item["text"] for item in sender.vendor.state.inbox[name]] == [None] * 3
    assert all("cannot be decrypted" in violation for violation in sender.vendor.state.violations)
    assert await sender.push(subscription, b"x" * 4097) == (413, 104)


async def test_topic_replaces_what_waits_and_ttl_ends_it(sender: Sender) -> None:
    name, subscription = sender.vendor.subscribe()
    control = f"{sender.vendor.url}/__subscription"
    assert (await sender.http.post(control, json={"id": name, "state": "offline"})).json() == {"ok": True}
    texts = {"first": "a", "second": "a", "third": "b", "fourth": None}
    for text, topic in texts.items():
        await sender.push(subscription, sender.encrypt(subscription, text.encode()), {"Topic": topic})
    await sender.push(subscription, sender.encrypt(subscription, b"soon over"), {"TTL": "5"})
    await sender.push(subscription, sender.encrypt(subscription, b"now or never"), {"TTL": "0"})
    sender.vendor.state.clock.ahead_ms += 6000
    await sender.http.post(control, json={"id": name, "state": "online"})
    inbox = (await sender.http.get(f"{sender.vendor.url}/__inbox", params={"id": name})).json()
    assert [(item["text"], item["status"]) for item in inbox] == [
        ("second", "delivered"),
        ("third", "delivered"),
        ("fourth", "delivered"),
    ]
    assert (await sender.http.get(sender.vendor.url)).text.count("second") == 1


@pytest.mark.parametrize(
    ("name", "setting"), [("webpush", "subject: mailto:"), ("ntfy", "allow_endpoints:"), ("webhook", "secret: whsec_")]
)
def test_process_says_where_it_listens_and_what_to_configure(name: str, setting: str) -> None:
    with emulators(name) as started:
        [url] = started.urls.values()
        assert setting in started.text
        assert httpx.get(f"{url}/__inbox", trust_env=False, verify=False).json() == {}


async def test_what_is_to_wait_for_too_long_waits_a_month(sender: Sender) -> None:
    name, subscription = sender.vendor.subscribe()
    headers = {"TTL": "10000000", "Topic": "a-b_c==", "Content-Encoding": "aes128gcm", **sender.claims()}
    answer = await sender.http.post(subscription["endpoint"], content=sender.encrypt(subscription), headers=headers)
    assert (answer.status_code, answer.headers["ttl"]) == (201, "2592000")
    assert sender.vendor.state.inbox[name][0]["ttl"] == 2_592_000


@pytest.mark.parametrize("subject", ["mailto:ops@localhost", "https://localhost/", "ops@example.org", 7])
async def test_subject_that_reaches_nobody_is_refused(sender: Sender, subject: object) -> None:
    _, subscription = sender.vendor.subscribe()
    signed = {"aud": sender.vendor.url, "exp": sender.vendor.state.clock.now() // 1000 + 60, "sub": subject}
    token = jwt.encode(signed, sender.vapid.private_key, algorithm="ES256")
    key = sender.claims()["Authorization"].partition("k=")[2]
    assert await sender.push(subscription, headers={"Authorization": f"vapid t={token}, k={key}"}) == (401, 109)
