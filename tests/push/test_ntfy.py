# SPDX-License-Identifier: Apache-2.0
"""The ntfy provider against the emulator, and the emulator itself."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from emulators.http import Fault
from emulators.ntfy import Running, running
from emulators.ntfy_rules import ERRORS
from httpclient.http1 import HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry
from push.providers.ntfy import NtfyProvider
from tests.support.scripted import SHARES

pytestmark = pytest.mark.anyio
CLOSED = "the topic is not open to us"


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


@pytest.fixture
async def ntfy(vendor: Running) -> AsyncIterator[NtfyProvider]:
    provider = NtfyProvider(HttpClient(), SHARES, clock=vendor.state.clock.now)
    yield provider
    await provider.close()


def a_push(token: str, payload: str = '{"message_id":1}') -> Push:
    return Push(token, payload, "0" * 32, 86_400, "ANDROID")


async def test_message_arrives_as_the_text_of_its_topic(vendor: Running, ntfy: NtfyProvider) -> None:
    longest = "é" * 2048
    pushes = [a_push(f"{vendor.url}/mine"), a_push(f"{vendor.url}/upTOPIC?up=1", longest)]
    assert await ntfy.send(pushes) == [Delivered()] * 2
    async with httpx.AsyncClient(base_url=vendor.url, trust_env=False, verify=False) as http:
        [line] = (await http.get("/mine/json", params={"poll": 1})).text.splitlines()
        assert httpx.Response(200, text=line).json()["message"] == '{"message_id":1}'
    assert vendor.state.inbox["upTOPIC"][0]["message"] == longest
    assert await ntfy.send([a_push(f"{vendor.url}/mine", longest + "x")]) == [Rejected("payload over 4096 bytes")]
    assert vendor.state.violations == []


@pytest.mark.parametrize("code", ERRORS)
async def test_no_answer_ends_a_device_or_blames_the_provider(vendor: Running, ntfy: NtfyProvider, code: int) -> None:
    vendor.state.faults.queue.append(Fault(str(code)))
    status = code // 100
    again: Outcome = Retry(f"HTTP {status}", provider_fault=False)
    refused = Retry(f"HTTP {status}: {CLOSED}", provider_fault=False)
    wanted = {400: Rejected("HTTP 400"), 413: Rejected("HTTP 413"), 401: refused, 403: refused}.get(status, again)
    assert await ntfy.send([a_push(f"{vendor.url}/mine")]) == [wanted]
    assert vendor.state.inbox == {}
    assert await ntfy.send([a_push(f"{vendor.url}/mine")]) == [Delivered()]


async def test_states_of_topics_become_outcomes_in_order(vendor: Running, ntfy: NtfyProvider) -> None:
    vendor.state.tokens["closed"] = "tk_secret"
    vendor.state.deserted.add("deserted")
    paths = ("open", "closed", "deserted?up=1", "deserted", "no topic", "docs", "a/b")
    outcomes = await ntfy.send([a_push(f"{vendor.url}/{path}") for path in paths])
    assert outcomes == [
        Delivered(),
        Retry(f"HTTP 403: {CLOSED}", provider_fault=False),
        Retry("HTTP 507", provider_fault=False),
        Delivered(),
        Rejected("endpoint is no URL"),
        Rejected("HTTP 400"),
        Gone("HTTP 404"),
    ]
    vendor.state.gone.add("phone")
    assert await ntfy.send([a_push(f"{vendor.url}/phone?up=1")]) == [Gone("HTTP 410")]
    vendor.state.retry_after = 7
    vendor.state.faults.queue.append(Fault("42901"))
    assert await ntfy.send([a_push(f"{vendor.url}/open")]) == [Retry("HTTP 429", after=7.0, provider_fault=False)]


async def test_topics_that_nobody_listens_to_pause_no_host(vendor: Running, ntfy: NtfyProvider) -> None:
    vendor.state.deserted.add("deserted")
    for _ in range(30):
        assert await ntfy.send([a_push(f"{vendor.url}/deserted?up=1")]) == [Retry("HTTP 507", provider_fault=False)]
    assert await ntfy.send([a_push(f"{vendor.url}/open")]) == [Delivered()]


@pytest.mark.parametrize("token", ["", "mytopic", "ntfy://host/topic", "https://[SECRET", "https://h/\ud800SECRET"])
async def test_old_row_with_a_bad_token_is_rejected_and_not_shown(ntfy: NtfyProvider, token: str) -> None:
    assert await ntfy.send([a_push(token)]) == [Rejected("endpoint is no URL")]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"topic": "mine", "message": "hello", "priority": 5, "tags": ["x"]}, None),
        ({"topic": "mine"}, None),
        ({"message": "hello"}, 40009),
        ({"topic": "mine", "invented": 1}, 40017),
        ({"topic": "mine", "priority": 6}, 40007),
        ({"topic": "mine", "message": "x" * 4097}, 40014),
        ({"topic": "mine", "message": "x" * 8192}, 41303),
        ({"topic": "docs"}, 40010),
        ([], 40017),
    ],
)
async def test_emulator_takes_documents_as_ntfy_does(vendor: Running, document: Any, code: int | None) -> None:
    async with httpx.AsyncClient(base_url=vendor.url, trust_env=False, verify=False) as http:
        answer = (await http.post("/", json=document)).json()
        assert answer.get("code") == code
        message = document["message"] if code is None and "message" in document else "triggered"
        assert [item["message"] for item in vendor.state.inbox.get("mine", [])] == ([message] if code is None else [])
        assert (await http.get("/mine", params={"up": 1})).json() == {"unifiedpush": {"version": 1}}


async def test_emulator_asks_for_tokens_text_and_settings_that_exist(vendor: Running) -> None:
    async with httpx.AsyncClient(base_url=vendor.url, trust_env=False, verify=False) as http:
        assert (await http.post("/__token", json={"topic": "closed", "token": "tk_a"})).status_code == 200
        for header, code in (("", 40301), ("Bearer tk_b", 40101), ("Bearer tk_a", None)):
            answer = await http.put("/closed", content="x", headers={"Authorization": header})
            assert answer.json().get("code") == code
        assert (await http.post("/mine", content=b"\xff")).json()["code"] == 40014
        assert (await http.post("/mine", params={"up": 1}, content=b"\xff")).json()["encoding"] == "base64"
        assert (await http.post("/__fault", json={"kind": "1"})).status_code == 400
        assert (await http.post("/__reset", json={})).status_code == 200
        assert (await http.get("/__inbox")).json() == {}
        assert "ntfy" in (await http.get("/")).text
