# SPDX-License-Identifier: Apache-2.0
"""The webhook provider against the emulator, and both against the specification's own library."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks import Webhook

from emulators import ntfy
from emulators.http import Fault
from emulators.webhook import SECRET, Running, running
from httpclient.http1 import HttpClient
from push.base import Delivered, Gone, Outcome, Push, Rejected, Retry
from push.providers.webhook import WebhookProvider
from push.webhook_signature import signed_headers, signing_key
from tests.support import ROOT
from tests.support.scripted import SHARES

pytestmark = pytest.mark.anyio
PAYLOAD = '{"message_id":1,"sender_phone":"é"}'


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with running() as emulator:
        yield emulator


@pytest.fixture
async def webhook(vendor: Running) -> AsyncIterator[WebhookProvider]:
    provider = WebhookProvider(SECRET, HttpClient(), SHARES, clock=vendor.state.clock.now)
    yield provider
    await provider.close()


def a_push(token: str, number: int = 1) -> Push:
    return Push(token, PAYLOAD, f"{number:032x}", 86_400, "WEB")


def test_what_we_sign_the_specifications_library_verifies() -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    headers = signed_headers(signing_key(SECRET), f"{1:032x}", PAYLOAD.encode(), now=now)
    assert Webhook(SECRET).verify(PAYLOAD, headers) == json.loads(PAYLOAD)


async def test_push_arrives_signed_once_however_often_it_is_sent(vendor: Running, webhook: WebhookProvider) -> None:
    for _ in range(2):
        assert await webhook.send([a_push(vendor.hook("a")), a_push(vendor.hook("b"), 2)]) == [Delivered()] * 2
        vendor.state.clock.ahead_ms += 3_600_000
    [item] = vendor.state.inbox["a"]
    assert (item["webhook_id"], item["body"]) == (f"{1:032x}", json.loads(PAYLOAD))
    assert vendor.state.repeated == {f"{1:032x}": 1, f"{2:032x}": 1}
    assert vendor.state.violations == []


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("400", Rejected("HTTP 400")),
        ("401", Retry("HTTP 401", provider_fault=False)),
        ("404", Retry("HTTP 404", provider_fault=False)),
        ("410", Gone("HTTP 410")),
        ("413", Rejected("HTTP 413")),
        ("429", Retry("HTTP 429", after=120.0, provider_fault=False)),
        ("500", Retry("HTTP 500", provider_fault=False)),
        ("502", Retry("HTTP 502", provider_fault=False)),
        ("503", Retry("HTTP 503", after=120.0, provider_fault=False)),
        ("504", Retry("HTTP 504", provider_fault=False)),
        ("redirect", Retry("HTTP 302", provider_fault=False)),
        ("huge", Retry("answer too large", provider_fault=False)),
        ("reset_after", Retry("connection broken", provider_fault=False)),
    ],
)
async def test_fault_becomes_an_outcome_and_the_retry_arrives_once(
    vendor: Running, webhook: WebhookProvider, kind: str, outcome: Outcome
) -> None:
    vendor.state.faults.queue.append(Fault(kind))
    assert await webhook.send([a_push(vendor.hook("a"))]) == [outcome]
    assert await webhook.send([a_push(vendor.hook("a"))]) == [Delivered()]
    assert len(vendor.state.inbox["a"]) == 1


async def test_hook_that_is_gone_ends_itself_and_no_other(vendor: Running, webhook: WebhookProvider) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        await http.post(f"{vendor.url}/__hook", json={"hook": "a", "state": "gone"})
    outcomes = await webhook.send([a_push(vendor.hook("a")), a_push(vendor.hook("b"))])
    assert outcomes == [Gone("HTTP 410"), Delivered()]


async def test_wrong_secret_is_refused_and_ends_no_device(vendor: Running) -> None:
    other = WebhookProvider("whsec_" + "A" * 32, HttpClient(), SHARES)
    assert await other.send([a_push(vendor.hook("a"))]) == [Retry("HTTP 401", provider_fault=False)]
    assert vendor.state.violations == ["a: no signature matches"]
    await other.close()
    with pytest.raises(ValueError, match="whsec_"):
        WebhookProvider("hunter2", HttpClient(), SHARES)


@pytest.mark.parametrize("token", ["", "hook", "ftp://h/x", "https://h:SECRET/"])
async def test_old_row_with_a_bad_token_is_rejected_and_not_shown(webhook: WebhookProvider, token: str) -> None:
    assert await webhook.send([a_push(token)]) == [Rejected("endpoint is no URL")]


async def test_emulator_checks_what_the_specifications_library_signs(vendor: Running) -> None:
    now = datetime.now(UTC)
    body = '{"a":1}'

    async def post(message_id: str, signature: str, text: str = body, seconds: int = 0) -> int:
        timestamp = str(int(now.timestamp()) + seconds)
        headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            return (await http.post(vendor.hook("a"), content=text, headers=headers)).status_code

    signed = Webhook(SECRET).sign("msg_1", now, body)
    assert await post("msg_1", signed) == 200
    assert await post("msg_1", f"v1,AAAA v1a,BBBB {signed}") == 200
    assert vendor.state.repeated == {"msg_1": 1}
    for wrong in (("msg_2", signed), ("msg_1", ""), ("msg_1", "v1,é"), ("msg_1", signed, body + " ")):
        assert await post(*[part.encode() if isinstance(part, str) else part for part in wrong]) == 401  # type: ignore[arg-type]
    assert await post("msg_1", signed, seconds=301) == 401
    assert len(vendor.state.inbox["a"]) == 1


async def test_walks_of_the_page_go_as_they_say(vendor: Running) -> None:
    async with ntfy.running() as topics:
        walks = (("webhook", vendor, 9107, "$E/hook/phone1"), ("ntfy", topics, 9106, "$E/phone1/json"))
        for name, emulator, port, shown in walks:
            page = (ROOT / f"docs/emulators/{name}.md").read_text()
            [script] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if shown in block]
            walk = await asyncio.create_subprocess_exec(
                "bash",
                "-euc",
                script.replace(f"http://127.0.0.1:{port}", emulator.url),
                env={"PATH": os.environ["PATH"]},
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await walk.communicate()
            assert walk.returncode == 0
            assert b"error" not in said
            assert len(emulator.state.inbox["phone1"]) == 1
        assert (vendor.state.hooks, topics.state.tokens) == ({"phone1": "gone"}, {"closed": "tk_secret"})
