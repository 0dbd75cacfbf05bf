# SPDX-License-Identifier: Apache-2.0
"""The providers whose devices name their own address, behind the rules for such addresses."""

import json
from collections.abc import Callable

import pytest

from emulators import ntfy, webhook, webpush
from httpclient.endpoints import Endpoints
from httpclient.http1 import HttpClient
from push.base import Delivered, Provider, Push, Retry
from push.providers.ntfy import NtfyProvider
from push.providers.webhook import WebhookProvider
from push.providers.webpush import WebpushProvider
from push.providers.webpush_vapid import new_key

pytestmark = pytest.mark.anyio
PROVIDERS: dict[str, Callable[[HttpClient], Provider]] = {
    "webpush": lambda http: WebpushProvider(new_key(), http, subject="mailto:ops@example.org"),
    "ntfy": NtfyProvider,
    "webhook": lambda http: WebhookProvider(webhook.SECRET, http),
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
