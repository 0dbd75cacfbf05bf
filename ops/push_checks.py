# SPDX-License-Identifier: Apache-2.0
"""Whether the push vendors take our keys, and what each says to a test: in words, with what to do. Mends nothing."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.providers import push_settings, push_tools
from config.load import Config
from httpclient.endpoints import Endpoints
from ops.checks import FAIL, OK, WARN, Check
from ops.opening import when
from push.base import Delivered, Gone, Outcome, Provider, Push, Rejected, Retry, SignsIn
from push.providers.getui import GetuiProvider, Presence
from push.registry import VENDORS, build
from services.devices import TEST_PAYLOAD, TEST_TTL_SECONDS

TEST_SECONDS = 30.0
"""Longer than the server gives a test: the operator is to see the vendor's own answer."""
WAY_OUT = ("cannot connect", "timed out", "connection broken", "no answer")
KEYS = ("auth", "401", "403", "refused", "token", "topic", "blacklisted", "right")


async def sign_ins(config: Config) -> AsyncIterator[Check]:
    """Whether the vendors that one signs in to take each app's keys; no push is sent. Other vendors are left out."""
    async with _built(config) as (providers, broken):
        for check in broken:
            yield check
        for (name, app), each in providers.items():
            if isinstance(each, SignsIn):
                yield _signed_in(name, app, await each.sign_in())


async def tests(config: Config, *, provider: str | None, app: str | None, token: str | None) -> AsyncIterator[Check]:
    """What each provider, or the one named, says to a test to this token, or to one that no device has."""
    async with _built(config) as (providers, broken):
        for check in broken:
            yield check
        chosen = _chosen(providers, provider, app)
        if not chosen:
            yield Check(provider or "push", FAIL, "is not configured", f"there are {_names(providers)}")
        for (name, its_app), each in chosen.items():
            yield await _test(name_of(name, its_app), each, token)


Built = tuple[dict[tuple[str, str], Provider], list[Check]]
"""The providers that there are, and what is wrong with a key's file: its provider is left out."""


@asynccontextmanager
async def _built(config: Config) -> AsyncIterator[Built]:
    broken: list[Check] = []
    try:
        settings = push_settings(config, may_make=False)
    except OSError as error:
        broken.append(Check("webpush", FAIL, str(error), "until then the server does not start"))
        settings = push_settings(config, may_make=False, webpush=False)
    endpoints = Endpoints(config.push.allow_endpoints)
    providers = build(settings, push_tools(config, endpoints))
    try:
        yield providers, broken
    finally:
        for each in providers.values():
            await each.close()
        endpoints.close()


def name_of(provider: str, app: str) -> str:
    """A provider's app as an operator reads it."""
    return f"{provider}/{app}" if app else provider


def _chosen(
    providers: Mapping[tuple[str, str], Provider], provider: str | None, app: str | None
) -> dict[tuple[str, str], Provider]:
    return {
        (name, its_app): each
        for (name, its_app), each in sorted(providers.items())
        if provider in (None, name) and app in (None, its_app)
    }


def _names(providers: Mapping[tuple[str, str], Provider]) -> str:
    return ", ".join(name_of(*key) for key in sorted(providers))


async def _test(name: str, provider: Provider, token: str | None) -> Check:
    to = token or VENDORS[provider.name].made_up_token
    if to is None:
        return Check(name, OK, "is configured, and has no keys to try", "name a device's token with --token")
    push = Push(to, TEST_PAYLOAD, secrets.token_hex(16), TEST_TTL_SECONDS)
    try:
        async with asyncio.timeout(TEST_SECONDS):
            [outcome] = await provider.send([push])
    except TimeoutError:
        outcome = Retry("timed out")
    if not token:
        return _judged_made_up(name, outcome)
    if outcome == Delivered() and isinstance(provider, GetuiProvider):
        presence = await provider.presence(token)
        if isinstance(presence, Presence) and not presence.online:
            return _judged_offline(name, presence)
    return _judged(name, outcome)


def _judged_offline(name: str, presence: Presence) -> Check:
    since = f" since {when(presence.last_login_at)}" if presence.last_login_at else ""
    found = f"took the test, and the app has not been connected{since}"
    return Check(name, WARN, found, "the phone's maker delivers it, where push.getui.vendor_options opens its channel")


def _judged(name: str, outcome: Outcome) -> Check:
    match outcome:
        case Delivered(stale=True):
            return Check(name, WARN, "took the test and will not send it", "the device has been silent for months")
        case Delivered():
            return Check(name, OK, "took the test; the phone should show it")
        case Gone(reason):
            return Check(name, WARN, f"calls this token dead: {reason}", "have the app register its device anew")
        case Rejected(reason):
            return Check(name, FAIL, f"refuses the test: {reason}", "is the token of this provider and app?")
        case Retry(reason):
            return Check(name, FAIL, reason, _advice(name, reason))


def _judged_made_up(name: str, outcome: Outcome) -> Check:
    if isinstance(outcome, Retry):
        return Check(name, FAIL, outcome.reason, _advice(name, outcome.reason))
    return Check(name, OK, "takes the keys, and knows no device of a made-up token, as it should")


def _signed_in(vendor: str, app: str, refusal: Retry | None) -> Check:
    name = name_of(vendor, app)
    if refusal is None:
        return Check(name, OK, "takes the keys")
    return Check(name, FAIL, refusal.reason, _advice(name, refusal.reason))


def _advice(name: str, reason: str) -> str:
    """What to do where no answer came, or one that speaks of us."""
    vendor, _, app = name.partition("/")
    section = f"push.{vendor}.apps.{app}" if app else f"push.{vendor}"
    if reason == "address not allowed":
        return "its address is a private one: push.allow_endpoints excepts it"
    if any(word in reason for word in WAY_OUT):
        return f"check the way out (name server, firewall), {section}.base_url, and the vendor's status page"
    if any(word in reason for word in KEYS):
        return f"check {section}, this machine's clock, and this address in the vendor's console"
    return "try again; if it stays, look at the vendor's status page"
