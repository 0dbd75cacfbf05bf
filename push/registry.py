# SPDX-License-Identifier: Apache-2.0
"""Builds the configured push providers from plain values, by name and app as devices name them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from ssl import SSLContext

import httpx

from httpclient.endpoints import Endpoints
from httpclient.http1 import ANSWER_SECONDS, HttpClient
from httpclient.http2 import Http2Client
from push.base import Provider, VisibleText
from push.providers.apns import ApnsProvider
from push.providers.apns_auth import ApnsCredentials
from push.providers.fcm import FcmProvider
from push.providers.fcm_auth import FcmCredentials
from push.providers.getui import GetuiProvider
from push.providers.getui_auth import GetuiCredentials
from push.providers.host_shares import Shares
from push.providers.log import LogProvider
from push.providers.ntfy import NtfyProvider
from push.providers.webhook import WebhookProvider
from push.providers.webpush import WebpushProvider
from push.providers.webpush_vapid import VapidKey


@dataclass(frozen=True, slots=True)
class Vendors:
    """What is configured: the vendors' apps by name, the unnamed one as "".

    `outbox_log` is the file of `log`, `webpush` the key that browsers subscribe with, `webhook` the signing secret.
    A provider whose value is None, empty or false is not built.
    """

    outbox_log: Path | None = None
    getui: Mapping[str, GetuiCredentials] = field(default_factory=dict)
    fcm: Mapping[str, FcmCredentials] = field(default_factory=dict)
    apns: Mapping[str, ApnsCredentials] = field(default_factory=dict)
    webpush: VapidKey | None = None
    webpush_subject: str = ""
    ntfy: bool = False
    webhook: str = field(default="", repr=False)


def build(
    vendors: Vendors,
    endpoints: Endpoints,
    shares: Shares,
    *,
    text: VisibleText | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> dict[tuple[str, str], Provider]:
    """Build the providers. `endpoints` judges the URLs that devices name, `shares` bounds the calls to their hosts, and
    `text` is what phones show beside a payload.

    Raises ValueError for an invalid key, and OSError for a certificate file that cannot be read.
    """

    def client(*, judge: Endpoints | None = None) -> HttpClient:
        return HttpClient(endpoints=judge, tls=_tls(), answer_seconds=answer_seconds)

    plain: list[Provider] = []
    if vendors.outbox_log is not None:
        plain.append(LogProvider(vendors.outbox_log))
    if vendors.webpush is not None:
        plain.append(WebpushProvider(vendors.webpush, client(judge=endpoints), shares, subject=vendors.webpush_subject))
    if vendors.ntfy:
        plain.append(NtfyProvider(client(judge=endpoints), shares))
    if vendors.webhook:
        plain.append(WebhookProvider(vendors.webhook, client(judge=endpoints), shares))
    providers = {(provider.name, ""): provider for provider in plain}
    for app, getui in vendors.getui.items():
        providers["getui", app] = GetuiProvider(getui, client(), text=text)
    for app, fcm in vendors.fcm.items():
        providers["fcm", app] = FcmProvider(fcm, client(), text=text)
    for app, apns in vendors.apns.items():
        http2 = Http2Client(apns.url, ca_file=apns.ca_file, answer_seconds=answer_seconds)
        providers["apns", app] = ApnsProvider(apns, http2, text=text)
    return providers


@cache
def _tls() -> SSLContext:
    """One trust store for all clients: loading it takes 50 ms."""
    return httpx.create_ssl_context(trust_env=False)
