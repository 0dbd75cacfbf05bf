# SPDX-License-Identifier: Apache-2.0
"""The APNs provider against the emulator, over real HTTP/2 and TLS, and the emulator by itself."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import jwt
import pytest
import uvloop

from emulators.apns import Running, running
from emulators.apns_rules import STATUS_OF, Keys
from emulators.http import Fault
from emulators.keys import p256_key, pem, rsa_key
from httpclient.http1 import Answer, NoAnswer
from httpclient.http2 import Http2Client
from models.db.tables.devices import DeviceId
from models.user import UserId
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry, VisibleText
from push.providers.apns import ApnsProvider
from push.providers.apns_auth import PRODUCTION_URL, SANDBOX_URL, ApnsCredentials
from push.providers.apns_codes import DOUBTED_IN_A_ROW, outcome_of, read_answer
from push.providers.blame import FEW
from tests.push.conftest import World
from tests.push.crowd import outcomes_beside_one_that_hangs
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio
KEYS = Keys()
PEM = pem(KEYS.private_key)
PAYLOAD = '{"sender_phone":"ab","sender_uid":7,"message_id":42,"message_key":null}'
MINUTE = 60_000


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running(KEYS) as emulator:
        yield emulator


def provider_for(
    vendor: Running,
    *,
    seconds: float = PATIENCE,
    clock: Callable[[], int] | None = None,
    private_key: str = PEM,
    background: bool = False,
) -> ApnsProvider:
    credentials = ApnsCredentials(
        KEYS.team_id,
        KEYS.key_id,
        private_key,
        KEYS.topic,
        base_url=vendor.base_url,
        ca_file=vendor.ca_file,
        background=background,
    )
    http = Http2Client(credentials.url, connect_seconds=PATIENCE, answer_seconds=seconds, ca_file=credentials.ca_file)
    text = VisibleText("Title", "Text")
    return ApnsProvider(credentials, http, text=text, clock=clock or vendor.state.clock.now)


@pytest.fixture
async def apns(vendor: Running) -> AsyncIterator[ApnsProvider]:
    provider = provider_for(vendor)
    yield provider
    await provider.close()


def device(number: int) -> str:
    return f"{number:064x}"


def a_push(number: int = 0, *, payload: str = PAYLOAD, ttl: int = 86_400) -> Push:
    return Push(device(number), payload, f"{number:032x}", ttl, "IOS")


def received(vendor: Running) -> dict[int, int]:
    return {int(token, 16): len(items) for token, items in vendor.state.inbox.items()}


def meet(vendor: Running, kind: str, times: int = 1, after: int = 0) -> None:
    vendor.state.faults.queue.append(Fault(kind, times, after))


async def test_push_is_an_alert_that_the_app_may_fill_in(vendor: Running, apns: ApnsProvider) -> None:
    now = vendor.state.clock.now() // 1000
    assert await apns.send([a_push(7)]) == [Delivered()]
    [item] = vendor.state.inbox[device(7)]
    alert = {"alert": {"title": "Title", "body": "Text"}, "mutable-content": 1, "sound": "default"}
    assert item["payload"] == {"aps": alert, **json.loads(PAYLOAD)}
    assert (item["push-type"], item["priority"], item["topic"]) == ("alert", "10", KEYS.topic)
    assert item["id"] == str(uuid.UUID(int=7))
    assert item["collapse-id"] == a_push(7).dedupe_id
    assert now + 86_400 <= int(item["expiration"]) <= vendor.state.clock.now() // 1000 + 86_400
    assert vendor.state.violations == []


async def test_background_push_shows_nothing(vendor: Running) -> None:
    provider = provider_for(vendor, background=True)
    assert await provider.send([a_push(1)]) == [Delivered()]
    [item] = vendor.state.inbox[device(1)]
    assert item["payload"]["aps"] == {"content-available": 1}
    assert (item["push-type"], item["priority"]) == ("background", "5")
    await provider.close()


async def test_payload_too_large_is_rejected_and_the_rest_go(vendor: Running, apns: ApnsProvider) -> None:
    room = 4096 - len(apns._body(a_push(payload='{"k":""}')))
    pushes = [a_push(n, payload=json.dumps({"k": "x" * (room + 1 - n)})) for n in range(2)]
    assert await apns.send(pushes) == [Rejected("payload over 4096 bytes"), Delivered()]
    assert received(vendor) == {1: 1}


async def test_many_pushes_share_one_connection_and_one_token(vendor: Running, apns: ApnsProvider) -> None:
    batches = await asyncio.gather(*(apns.send([a_push(16 * n + m) for m in range(16)]) for n in range(20)))
    assert batches == [[Delivered()] * 16] * 20
    assert received(vendor) == dict.fromkeys(range(320), 1)
    assert (vendor.state.connections, len(vendor.state.issued)) == (1, 1)


async def test_token_is_kept_for_fifty_minutes(vendor: Running, apns: ApnsProvider) -> None:
    for minutes, tokens in ((0, 1), (49, 1), (1, 2), (49, 2), (1, 3)):
        vendor.state.clock.ahead_ms += minutes * MINUTE
        assert await apns.send([a_push()]) == [Delivered()]
        assert len(vendor.state.issued) == tokens
    assert vendor.state.violations == []


async def test_expired_token_is_made_anew_and_the_message_sent_again(vendor: Running) -> None:
    """The vendor's clock alone moves on: our token is young to us, and expired to APNs."""
    provider = provider_for(vendor, clock=lambda: time.time_ns() // 1_000_000)
    assert await provider.send([a_push(1)]) == [Delivered()]
    vendor.state.clock.ahead_ms += 61 * MINUTE
    assert await provider.send([a_push(2)]) == [Delivered()]
    assert received(vendor) == {1: 1, 2: 1}
    assert vendor.state.calls["push"] == 3
    await provider.close()


async def test_first_token_called_expired_is_made_anew_too(vendor: Running, apns: ApnsProvider) -> None:
    meet(vendor, "ExpiredProviderToken")
    assert await apns.send([a_push(1)]) == [Delivered()]
    assert received(vendor) == {1: 1}


async def test_storm_of_403_ends_no_device_and_makes_no_token_for_every_push(
    vendor: Running, apns: ApnsProvider
) -> None:
    meet(vendor, "ExpiredProviderToken", times=1000)
    for _ in range(3):
        outcomes = await apns.send([a_push(n) for n in range(16)])
        assert outcomes == [Retry("HTTP 403 ExpiredProviderToken")] * 16
    first, second = apns._auth.token(), apns._auth.token()
    assert first == second
    assert vendor.state.calls["push"] <= 3 * 16 + 16
    vendor.state.faults.queue.clear()
    assert await apns.send([a_push(1)]) == [Delivered()]
    assert received(vendor) == {1: 1}


async def test_wrong_key_is_a_fault_of_ours(vendor: Running) -> None:
    provider = provider_for(vendor, private_key=pem(p256_key()))
    assert await provider.send([a_push(1)]) == [Retry("HTTP 403 InvalidProviderToken")]
    await provider.close()


async def test_outcomes_are_each_push_s_own_and_in_order(vendor: Running, apns: ApnsProvider) -> None:
    vendor.state.targets.update(
        {
            device(1): ("bad", 0),
            device(2): ("unregistered", 1_700_000_000_000),
            device(3): ("expired", 1_800_000_000_000),
            device(4): ("not_for_topic", 0),
        }
    )
    assert await apns.send([a_push(n) for n in range(6)]) == [
        Delivered(),
        Gone("BadDeviceToken"),
        Gone("Unregistered", at=1_700_000_000_000),
        Gone("ExpiredToken", at=1_800_000_000_000),
        Gone("DeviceTokenNotForTopic"),
        Delivered(),
    ]
    assert received(vendor) == {0: 1, 5: 1}


@pytest.mark.parametrize(
    ("after_seconds", "ended", "state"), [(-0.001, False, "due"), (0, False, "due"), (0.001, True, "dead")]
)
async def test_410_ends_the_device_only_where_it_speaks_of_a_time_after_its_registration(
    world: World, after_seconds: float, ended: bool, state: str
) -> None:
    registered_at = world.clock()
    await world.one_message()
    said_at = registered_at + int(after_seconds * 1000)
    world.provider.script = lambda _: Gone("Unregistered", at=said_at)
    await world.relay().run_once()
    assert ((await world.device_row(DeviceId(1)))[1] is not None) == ended
    assert await world.states() == [state]


async def test_410_spares_a_token_that_was_registered_between_its_time_and_the_asking(world: World) -> None:
    said_at = world.clock() + 1
    await world.one_message()
    asked_at = world.clock()
    receiver = UserId((await world.device_row(DeviceId(1)))[0])

    async def register_again(_: Sequence[Push]) -> None:
        world.clock.now = said_at + 1
        await world.device(receiver, "t")
        world.clock.now = asked_at

    world.provider.before = register_again
    world.provider.script = lambda _: Gone("Unregistered", at=said_at)
    await world.relay().run_once()
    assert (await world.device_row(DeviceId(1)))[1] is None


async def test_bad_token_of_every_device_is_a_fault_of_ours(vendor: Running, apns: ApnsProvider) -> None:
    """The wrong host or topic calls every token bad: no more than a few devices are given up for it.

    Where it is as few as one person may have, or others are told, it is held against nobody else's pushes.
    """
    vendor.state.strict = True
    outcomes = [outcome for n in range(4) for outcome in await apns.send([a_push(16 * n + m) for m in range(16)])]
    assert outcomes[:DOUBTED_IN_A_ROW] == [Gone("BadDeviceToken")] * DOUBTED_IN_A_ROW
    blamed = [isinstance(outcome, Retry) and outcome.provider_fault for outcome in outcomes]
    assert blamed == [False] * FEW + [True] * (len(outcomes) - FEW)
    assert {type(outcome) for outcome in outcomes[DOUBTED_IN_A_ROW:]} == {Retry}
    vendor.state.targets[device(1)] = ("ok", 0)
    assert await apns.send([a_push(1)]) == [Delivered()]
    outcomes = [outcome for n in range(2, 50) for outcome in await apns.send([a_push(n)])]
    assert outcomes[:DOUBTED_IN_A_ROW] == [Gone("BadDeviceToken")] * DOUBTED_IN_A_ROW
    assert not any(isinstance(outcome, Retry) and outcome.provider_fault for outcome in outcomes)


async def test_error_of_one_push_is_not_shared_between_parallel_sends(vendor: Running, apns: ApnsProvider) -> None:
    """Faults that meet one stream each, on the connection that all of them share."""
    await apns.send([a_push(0)])
    for kind in ("hang_before", "InternalServerError", "BadPriority", "502", "huge"):
        meet(vendor, kind, after=3)
    assert await outcomes_beside_one_that_hangs(apns, a_push) == {
        Delivered(): 26,
        Retry("HTTP 500 InternalServerError"): 1,
        Rejected("HTTP 400 BadPriority"): 1,
        Retry("HTTP 502"): 1,
        Retry("answer too large"): 1,
    }
    assert await apns.send([a_push(200)]) == [Delivered()]
    assert vendor.state.connections == 1


@pytest.mark.parametrize(
    ("kind", "outcome", "connections"),
    [
        ("reset_before", Retry("connection broken"), 2),
        ("reset_after", Retry("connection broken"), 2),
        ("garbage", Retry("connection broken"), 2),
        ("goaway_after", Retry("connection going away"), 2),
        ("goaway_answered", Delivered(), 2),
        ("goaway", Delivered(), 2),
        ("rst_stream", Delivered(), 1),
        ("redirect", Retry("HTTP 302"), 1),
    ],
)
async def test_end_of_a_connection_or_stream_is_survived(
    vendor: Running, apns: ApnsProvider, kind: str, outcome: Outcome, connections: int
) -> None:
    """What APNs says it has not looked at goes out again at once; what it may have taken, the relay repeats."""
    meet(vendor, kind)
    assert await apns.send([a_push(1)]) == [outcome]
    assert await apns.send([a_push(2)]) == [Delivered()]
    assert received(vendor)[2] == 1
    assert vendor.state.connections == connections


def test_it_is_the_same_on_the_servers_own_event_loop() -> None:
    async def send_amid_faults() -> tuple[list[Outcome], dict[int, int]]:
        async with running(KEYS) as vendor:
            provider = provider_for(vendor)
            for kind in ("goaway", "reset_after", "rst_stream", "garbage", "Shutdown"):
                meet(vendor, kind, after=1)
            outcomes = [outcome for number in range(12) for outcome in await provider.send([a_push(number)])]
            await provider.close()
            return outcomes, received(vendor)

    outcomes, arrived = uvloop.run(send_amid_faults())
    assert Counter(outcomes) == {
        Delivered(): 9,
        Retry("connection broken"): 2,
        Retry("HTTP 503 Shutdown"): 1,
    }
    assert len(arrived) == 10


async def test_goaway_amid_many_pushes_loses_none(vendor: Running, apns: ApnsProvider) -> None:
    meet(vendor, "goaway", after=40)
    outcomes: dict[int, Outcome] = {}
    due = list(range(1, 101))
    while due:
        batches = [due[start : start + 16] for start in range(0, len(due), 16)]
        for batch, said in zip(
            batches, await asyncio.gather(*(apns.send([a_push(n) for n in batch]) for batch in batches)), strict=True
        ):
            outcomes.update(zip(batch, said, strict=True))
        due = [n for n in due if outcomes[n] != Delivered()]
        assert all(isinstance(outcomes[n], Retry) for n in due)
    assert set(received(vendor)) == set(range(1, 101))
    assert vendor.state.connections == 2


async def test_abandoned_streams_do_not_use_the_connection_up(vendor: Running, apns: ApnsProvider) -> None:
    """More pushes are given up than APNs allows at once, and the same connection goes on."""
    await apns.send([a_push(0)])
    connection = apns._http._connection
    assert connection is not None
    connection._h2.remote_settings[3] = 4
    connection._h2.remote_settings.acknowledge()
    for number in range(1, 10):
        meet(vendor, "hang_before")
        hung, other = (asyncio.create_task(apns.send([a_push(n)])) for n in (number, 100 + number))
        assert await other == [Delivered()]
        hung.cancel()
        await asyncio.wait([hung])
    assert await apns.send([a_push(n) for n in range(10, 26)]) == [Delivered()] * 16
    assert vendor.state.connections == 1


@pytest.mark.parametrize("kind", ["silent", "hang_after"])
async def test_silent_connection_is_given_up(vendor: Running, kind: str) -> None:
    provider = provider_for(vendor, seconds=1)
    meet(vendor, kind)
    assert await provider.send([a_push(1)]) == [Retry("timed out")]
    for _ in range(20):
        if await provider.send([a_push(2)]) == [Delivered()]:
            break
    assert received(vendor)[2] >= 1
    assert vendor.state.connections >= 2
    await provider.close()


async def test_nobody_listening_is_retried() -> None:
    async with running(KEYS) as vendor:
        provider = provider_for(vendor)
    assert await provider.send([a_push(1)]) == [Retry("cannot connect")]
    await provider.close()


async def test_certificate_that_is_not_trusted_and_server_without_http2_are_not_spoken_to(vendor: Running) -> None:
    strangers = Http2Client(vendor.base_url), Http2Client(vendor.url, answer_seconds=0.3, connect_seconds=0.3)
    for stranger in strangers:
        answer = await stranger.post("/3/device/00", content=b"{}", headers={}, once={})
        assert isinstance(answer, NoAnswer)
        await stranger.close()
    assert vendor.state.calls == {}


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("BadDeviceToken", Gone("BadDeviceToken")),
        ("DeviceTokenNotForTopic", Gone("DeviceTokenNotForTopic")),
        *((name, Gone(name, at=5)) for name in ("Unregistered", "ExpiredToken")),
        *(
            (name, Rejected(f"HTTP {STATUS_OF[name]} {name}"))
            for name in (
                "BadCollapseId",
                "BadExpirationDate",
                "BadMessageId",
                "BadPriority",
                "DuplicateHeaders",
                "InvalidPushType",
                "MissingDeviceToken",
                "PayloadEmpty",
                "PayloadTooLarge",
            )
        ),
        ("TooManyRequests", Retry("HTTP 429 TooManyRequests", after=60, provider_fault=False)),
        ("IdleTimeout", Retry("HTTP 400 IdleTimeout", provider_fault=False)),
        *(
            (name, Retry(f"HTTP {STATUS_OF[name]} {name}"))
            for name in (
                "BadTopic",
                "MissingTopic",
                "TopicDisallowed",
                "BadCertificate",
                "BadCertificateEnvironment",
                "BadEnvironmentKeyIdInToken",
                "ExpiredProviderToken",
                "Forbidden",
                "InvalidProviderToken",
                "MissingProviderToken",
                "UnrelatedKeyIdInToken",
                "BadPath",
                "MethodNotAllowed",
                "TooManyProviderTokenUpdates",
                "InternalServerError",
                "ServiceUnavailable",
                "Shutdown",
            )
        ),
    ],
)
def test_documented_reason_becomes_an_outcome(reason: str, outcome: Outcome) -> None:
    body = json.dumps({"reason": reason, "timestamp": 5}).encode()
    said = read_answer(Answer(STATUS_OF[reason], {}, body))
    assert not isinstance(said, Delivered)
    assert outcome_of(said) == outcome


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, '{"reason": "Unregistered"}'),
        (403, '{"reason": "BadDeviceToken"}'),
        (500, '{"reason": "Unregistered", "timestamp": 5}'),
        (410, ""),
        (410, "[]"),
        (410, '{"reason": ["Unregistered"]}'),
        (400, '{"reason": "SomethingNew"}'),
        (502, "<html>"),
        (0, ""),
    ],
)
def test_only_apns_words_in_their_place_end_a_device_or_a_push(status: int, body: str) -> None:
    said = read_answer(Answer(status, {}, body.encode()))
    assert not isinstance(said, Delivered)
    outcome = outcome_of(said)
    assert isinstance(outcome, Retry)
    assert outcome.provider_fault


@pytest.mark.parametrize("timestamp", [None, "5", -1, 10**20, True, 1.5])
def test_time_of_a_410_that_is_none_is_left_out(timestamp: Any) -> None:
    body = json.dumps({"reason": "Unregistered", "timestamp": timestamp}).encode()
    said = read_answer(Answer(410, {}, body))
    assert not isinstance(said, Delivered)
    assert outcome_of(said) == Gone("Unregistered")


@pytest.mark.parametrize("private_key", ["", "nonsense", pem(rsa_key())])
async def test_private_key_that_is_none_is_refused_at_the_start(private_key: str) -> None:
    credentials = ApnsCredentials("T", "K", private_key, "t")
    with pytest.raises(ValueError, match="P-256 key"):
        ApnsProvider(credentials, Http2Client("http://127.0.0.1"), text=VisibleText("Title", "Text"))


@pytest.mark.parametrize("base_url", ["", "api.push.apple.com", "ftp://127.0.0.1", "https://", "https://[::1"])
async def test_address_that_is_none_is_refused_at_the_start(base_url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https URL"):
        Http2Client(base_url)


def test_hosts_are_apples_unless_another_is_given() -> None:
    def url(**more: Any) -> str:
        return ApnsCredentials("T", "K", "secret", "t", **more).url

    assert (url(), url(sandbox=True)) == (PRODUCTION_URL, SANDBOX_URL)
    assert url(sandbox=True, base_url="https://127.0.0.1:1/") == "https://127.0.0.1:1"
    assert "secret" not in repr(ApnsCredentials("T", "K", "secret", "t"))


def provider_token(key: Any = None, algorithm: str = "ES256", kid: str = KEYS.key_id, **changes: Any) -> str:
    claims = {"iss": KEYS.team_id, "iat": int(time.time())} | changes
    return "bearer " + jwt.encode(claims, key or KEYS.private_key, algorithm=algorithm, headers={"kid": kid})


ALERT = b'{"aps":{"alert":"x"}}'


@pytest.mark.parametrize(
    ("changes", "content", "reason"),
    [
        ({}, ALERT, None),
        ({"authorization": provider_token(iat=int(time.time()) - 60)}, ALERT, None),
        ({"authorization": ""}, ALERT, "MissingProviderToken"),
        ({"authorization": "bearer nonsense"}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token(p256_key())}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token("k" * 32, "HS256")}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token(kid="OTHER")}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token(iss="OTHER")}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token(iat=int(time.time()) + 86_400)}, ALERT, "InvalidProviderToken"),
        ({"authorization": provider_token(iat=int(time.time()) - 3700)}, ALERT, "ExpiredProviderToken"),
        ({"apns-topic": ""}, ALERT, "MissingTopic"),
        ({"apns-topic": "com.example.other"}, ALERT, "BadTopic"),
        ({"apns-push-type": "loud"}, ALERT, "InvalidPushType"),
        ({"apns-push-type": "background"}, ALERT, "BadPriority"),
        ({"apns-push-type": "background", "apns-priority": "5"}, ALERT, "PayloadEmpty"),
        ({"apns-priority": "7"}, ALERT, "BadPriority"),
        ({"apns-expiration": "soon"}, ALERT, "BadExpirationDate"),
        ({"apns-collapse-id": "x" * 65}, ALERT, "BadCollapseId"),
        ({"apns-id": "0" * 32}, ALERT, "BadMessageId"),
        ({}, b"", "PayloadEmpty"),
        ({}, b'{"k":1}', "PayloadEmpty"),
        ({}, b'{"aps":{"alert":"' + b"x" * 4096 + b'"}}', "PayloadTooLarge"),
        ({":path": "/3/device/"}, ALERT, "MissingDeviceToken"),
        ({":path": "/3/device/abcd"}, ALERT, "BadDeviceToken"),
        ({":path": "/3/devices/"}, ALERT, "BadPath"),
    ],
)
async def test_emulator_refuses_what_apns_refuses(
    vendor: Running, changes: dict[str, str], content: bytes, reason: str | None
) -> None:
    client = Http2Client(vendor.base_url, ca_file=vendor.ca_file)
    headers = {"authorization": provider_token(), "apns-topic": KEYS.topic} | changes
    path = headers.pop(":path", f"/3/device/{device(1)}")
    answer = await client.post(path, content=content, headers=headers, once={})
    assert isinstance(answer, Answer)
    assert answer.headers["apns-id"]
    if reason is None:
        assert (answer.status, answer.body) == (200, b"")
    else:
        assert (answer.status, json.loads(answer.body)) == (STATUS_OF[reason], {"reason": reason})
        assert vendor.state.inbox == {}
    await client.close()


async def test_emulator_finds_a_token_made_for_every_push(vendor: Running) -> None:
    client = Http2Client(vendor.base_url, ca_file=vendor.ca_file)
    statuses = []
    for _ in range(5):
        headers = {"authorization": provider_token(), "apns-topic": KEYS.topic}
        answer = await client.post(f"/3/device/{device(1)}", content=ALERT, headers=headers, once={})
        assert isinstance(answer, Answer)
        statuses.append(answer.status)
    assert statuses == [200, 200, 200, 429, 429]
    await client.close()


async def test_emulator_is_read_and_set_from_outside(vendor: Running, apns: ApnsProvider) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False, base_url=vendor.url) as http:
        gone = {"token": device(1).upper(), "state": "unregistered", "timestamp": 5}
        assert (await http.post("/__token", json=gone)).status_code == 200
        assert (await http.post("/__token", json={"token": "ab", "state": "lost"})).status_code == 400
        assert (await http.post("/__fault", json={"kind": "Shutdown", "after": 2})).status_code == 200
        assert (await http.post("/__fault", json={"kind": "Sunshine"})).status_code == 400
        outcomes = [(await apns.send([a_push(n, payload='{"k":"<b>"}')]))[0] for n in range(3)]
        assert outcomes == [Delivered(), Gone("Unregistered", at=5), Retry("HTTP 503 Shutdown")]
        [item] = (await http.get("/__inbox", params={"token": device(0)})).json()
        assert item["payload"]["k"] == "<b>"
        assert "&lt;b&gt;" in (await http.get("/")).text
        assert (await http.get("/__calls")).json() == {"push": 3, "connections": 1}
        assert (await http.get("/__violations")).json() == ["Unregistered"]
        assert (await http.post("/__reset", json={})).status_code == 200
        assert (await http.get("/__inbox")).json() == {}
