# SPDX-License-Identifier: Apache-2.0
"""The providers whose devices name their own address, behind the rules for such addresses."""

import json
from collections.abc import Callable

import pytest

from emulators import ntfy, webhook, webpush
from httpclient.endpoints import Endpoints
from httpclient.http1 import Answer, HttpClient
from push.base import Delivered, Gone, Provider, Push, Retry
from push.providers.ntfy import NtfyProvider
from push.providers.per_host_breaker import MASS_NOT_FOUND
from push.providers.webhook import WebhookProvider
from push.providers.webpush import WebpushProvider
from push.providers.webpush_vapid import new_key
from tests.support.scripted import SHARES, FixedHost

pytestmark = pytest.mark.anyio
KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
PROVIDERS: dict[str, Callable[[HttpClient], Provider]] = {
    "webpush": lambda http: WebpushProvider(new_key(), http, SHARES, subject="mailto:ops@example.org"),
    "ntfy": lambda http: NtfyProvider(http, SHARES),
    "webhook": lambda http: WebhookProvider(webhook.SECRET, http, SHARES),
}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_private_address_is_not_connected_to_unless_its_origin_is_allowed(name: str) -> None:
    async with webpush.running() as browsers, ntfy.running() as topics, webhook.running() as hooks:
        addresses = {"webpush": browsers.url, "ntfy": f"{topics.url}/topic", "webhook": hooks.hook("a")}
        tokens = addresses | {"webpush": json.dumps(browsers.subscribe()[1])}
        push = Push(tokens[name], '{"message_id":1}', "0" * 32, 60)
        running: dict[str, webpush.Running | ntfy.Running | webhook.Running]
        running = {"webpush": browsers, "ntfy": topics, "webhook": hooks}
        emulator = running[name]
        for allowed, outcome in (
            ((), Retry("address not allowed", provider_fault=False)),
            ((emulator.url,), Delivered()),
        ):
            provider = PROVIDERS[name](HttpClient(endpoints=Endpoints(allowed)))
            assert await provider.send([push]) == [outcome]
            assert bool(emulator.state.calls) == bool(allowed)
            await provider.close()


def a_push(name: str, number: int = 0) -> Push:
    subscription = {"endpoint": "https://push.example/1", "keys": KEYS}
    token = json.dumps(subscription) if name == "webpush" else "https://push.example/1"
    return Push(token, '{"message_id":1}', f"{number:032x}", 60)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 418, 422, 429, 499, 500, 503])
async def test_whoever_names_a_time_is_asked_again_then(name: str, status: int) -> None:
    provider = PROVIDERS[name](FixedHost(Answer(status, {"retry-after": "30"}, b"")))
    assert await provider.send([a_push(name)]) == [Retry(f"HTTP {status}", after=30, provider_fault=False)]
    await provider.close()


@pytest.mark.parametrize("name", PROVIDERS)
async def test_too_many_in_the_word_of_edges_service_is_later(name: str) -> None:
    provider = PROVIDERS[name](FixedHost(Answer(406, {}, b"")))
    assert await provider.send([a_push(name)]) == [Retry("HTTP 406", provider_fault=False)]
    await provider.close()


@pytest.mark.parametrize("name", ["webpush", "ntfy"])
async def test_endpoint_that_is_not_there_is_gone_but_not_everybodys(name: str) -> None:
    host = FixedHost(Answer(410, {}, b""))
    provider = PROVIDERS[name](host)
    assert await provider.send([a_push(name)]) == [Gone("HTTP 410")]
    host.answer = Answer(404, {}, b"")
    outcomes = [(await provider.send([a_push(name, number)]))[0] for number in range(MASS_NOT_FOUND + 5)]
    lost = Retry("HTTP 404 for everybody", provider_fault=False)
    assert outcomes == [Gone("HTTP 404")] * MASS_NOT_FOUND + [lost] * 5
    host.answer = Answer(201, {}, b"")
    assert await provider.send([a_push(name)]) == [Delivered()]
    host.answer = Answer(404, {}, b"")
    assert await provider.send([a_push(name)]) == [Gone("HTTP 404")]
    await provider.close()
