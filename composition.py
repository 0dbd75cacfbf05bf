# SPDX-License-Identifier: Apache-2.0
"""The parts of a server, made from its configuration: the only place that knows them all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from chat.base import ChatService
from composition_hosted import chat_services, sms_provider
from composition_push import push_providers, vapid_key
from config import Config
from config_values import is_loopback
from handlers.address import Proxies
from handlers.refusing import Drain
from handlers.shared import Activity, HttpSettings, SampleSettings, Services
from handlers.uploads import BufferBudget
from models.clock import DAY_MS, HOUR_MS, now_ms
from models.db import migrate, users
from models.db.database import Database
from models.db.sqlite import SqliteDatabase
from models.keys import KeyRing, open_key_ring
from models.phone import phone_hash
from models.rules import SendPolicy
from push.base import Provider
from push.endpoints import Endpoints
from push.relay import Relay
from push.sms.queue import SmsQueue
from services.accounts import Accounts
from services.activation import Activation
from services.authentication import Authentication
from services.chat import Chat
from services.device_tokens import DeviceTokens
from services.devices import Devices
from services.discovery import Discovery
from services.enrolment import Enrolment
from services.events import Events
from services.export import Export
from services.groups import Groups
from services.hashing import Hashing
from services.health import Health
from services.history import History
from services.key_watch import KeyWatch
from services.lasting_sessions import LastingSessions
from services.leaving import Leaving
from services.limits import Limits
from services.measuring import Measuring
from services.messaging import Messaging
from services.passwords import Passwords
from services.people import People
from services.reading import Reading
from services.reports import Reports
from services.retention import Lifetimes, Retention
from services.rooms import Rooms
from services.sending import Sending
from services.sms_budgets import SmsBudgets
from services.tokens import Tokens
from storage.disk import DiskStore

MEGABYTE = 1024 * 1024


class Ending:
    """How long the end may still take: `seconds`, counted from `begin`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def begin(self) -> None:
        self._until = monotonic() + self._seconds

    def left(self) -> float:
        return self._seconds if self._until is None else max(0.0, self._until - monotonic())


@asynccontextmanager
async def build(config: Config, ending: Ending) -> AsyncIterator[Services]:
    """The parts, running, in the order in which they need each other; ended in the other order, within `ending`."""
    async with AsyncExitStack() as stack:
        migrate.run(config.database_path)
        db = SqliteDatabase(config.database_path)
        stack.push_async_callback(db.close)
        ring_file = config.data_dir / "keys.json"
        keys = open_key_ring(ring_file, sealed=await users.find_phone_cipher(db))
        watch = KeyWatch(db=db, keys=keys, path=ring_file, clock=now_ms)
        await watch.enter()
        stack.callback(asyncio.create_task(watch.run()).cancel)
        store = DiskStore(
            config.data_dir / "images",
            min_free_bytes=config.storage.min_free_bytes,
            max_bytes=config.storage.max_bytes,
        )
        stack.callback(store.close)
        sms = SmsQueue(sms_provider(config))
        stack.push_async_callback(lambda: sms.close(within=ending.left()))
        endpoints = Endpoints(config.push.allow_endpoints)
        stack.callback(endpoints.close)
        providers = push_providers(config, endpoints)
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        relay = Relay(db, providers, lambda cipher: phone_hash(keys.decrypt_phone(cipher)), clock=now_ms)
        relaying = asyncio.create_task(relay.run())
        stack.push_async_callback(lambda: relay.stop(within=ending.left()))
        hosted = chat_services(config)
        for service in hosted.values():
            stack.push_async_callback(service.close)
        retention = Retention(db, store, lifetimes=lifetimes(config), clock=now_ms)
        await retention.count_stored()
        retaining = asyncio.create_task(retention.run())
        stack.callback(retaining.cancel)
        stack.push_async_callback(lambda: retention.stop(within=ending.left()))
        hashing = Hashing()
        stack.callback(hashing.close)
        tokens = DeviceTokens(providers, default_provider=config.push.default_provider, endpoints=endpoints)
        yield wire(config, Parts(db, keys, store, sms, hashing, providers, tokens, hosted, relay, relaying, retention))


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs below the use cases. `providers` are the push providers by name and app."""

    db: Database
    keys: KeyRing
    store: DiskStore
    sms: SmsQueue
    hashing: Hashing
    providers: Mapping[tuple[str, str], Provider]
    device_tokens: DeviceTokens
    hosted: Mapping[str, ChatService]
    relay: Relay
    relaying: asyncio.Task[None]
    retention: Retention


def wire(config: Config, parts: Parts) -> Services:
    """The use cases over these parts, and what the handlers share."""
    db, keys, store = parts.db, parts.keys, parts.store
    limits = Limits(
        per_address=config.limits.rates.per_address,
        per_account=config.limits.rates.per_account,
        per_phone=config.limits.rates.per_phone,
        per_device=config.limits.rates.per_device,
        enabled=config.limits.enabled,
    )
    accounts, activation = registration(config, parts, limits)
    tokens, passwords = sessions(config, parts, limits)
    discovery = Discovery(
        db=db, keys=keys, per_day=config.discovery.per_day, enabled=config.limits.enabled, clock=now_ms
    )
    authentication = Authentication(db=db, keys=keys, limits=limits, clock=now_ms)
    events = Events(db=db, authentication=authentication, most=config.events.max_readers, clock=now_ms)
    groups = Groups(db=db, policy=send_policy(config), wake_retention=parts.retention.wake, clock=now_ms)
    messaging = Messaging(
        db=db,
        limits=limits,
        discovery=discovery,
        policy=send_policy(config),
        keep_ms=config.messages.retention_days * DAY_MS,
        push_give_up_ms=config.push.give_up_hours * HOUR_MS,
        wake_relay=parts.relay.wake,
        clock=now_ms,
    )
    return Services(
        authentication=authentication,
        accounts=accounts,
        activation=activation,
        leaving=Leaving(db=db, keys=keys, wake_retention=parts.retention.wake, clock=now_ms),
        export=Export(db=db, keys=keys, clock=now_ms),
        passwords=passwords,
        tokens=tokens,
        lasting_sessions=LastingSessions(db=db, clock=now_ms),
        limits=limits,
        discovery=discovery,
        people=People(db=db, clock=now_ms),
        reports=Reports(db=db, clock=now_ms),
        groups=groups,
        sending=Sending(
            db=db,
            store=store,
            keys=keys,
            limits=limits,
            discovery=discovery,
            policy=send_policy(config),
            push_give_up_ms=config.push.give_up_hours * HOUR_MS,
            wake_relay=parts.relay.wake,
            clock=now_ms,
        ),
        reading=Reading(db=db, store=store, keys=keys, wake_retention=parts.retention.wake, clock=now_ms),
        messaging=messaging,
        history=History(db=db, clock=now_ms),
        rooms=Rooms(db=db, keys=keys, groups=groups, messaging=messaging, events=events, limits=limits),
        events=events,
        chat=Chat(db=db, services=parts.hosted, clock=now_ms),
        devices=Devices(db=db, tokens=parts.device_tokens, providers=parts.providers, limits=limits, clock=now_ms),
        health=Health(db=db, store=store, relay_runs=lambda: not parts.relaying.done()),
        measuring=Measuring(db=db, store=store, breakers=lambda: parts.relay.breakers, clock=now_ms),
        proxies=Proxies(config.server.trusted_proxies if config.server.behind_proxy else ()),
        activity=Activity(),
        drain=Drain(max_bytes=2 * config.images.max_bytes + MEGABYTE),  # who sends twice too much can still read so
        buffers=BufferBudget(config.uploads.buffer_bytes),
        unknown_callers=BufferBudget(config.uploads.unknown_caller_max_bytes),
        settings=http_settings(config),
    )


def registration(config: Config, parts: Parts, limits: Limits) -> tuple[Accounts, Activation]:
    """How accounts begin, with proof of the phone and without."""
    enrolment = Enrolment(
        keys=parts.keys,
        recycled_after_days=config.activation.recycled_after_days,
        push_give_up_ms=config.push.give_up_hours * HOUR_MS,
        clock=now_ms,
    )
    activation = Activation(
        db=parts.db,
        keys=parts.keys,
        enrolment=enrolment,
        limits=limits,
        sms=parts.sms,
        budgets=SmsBudgets(parts.keys, config.activation.budgets.model_dump()),
        regions=config.sms.regions,
        test_numbers={number: code.get_secret_value() for number, code in config.activation.test_numbers.items()},
        wake_relay=parts.relay.wake,
        clock=now_ms,
    )
    accounts = Accounts(
        db=parts.db,
        keys=parts.keys,
        limits=limits,
        enrolment=enrolment,
        activation=activation,
        activation_required=config.activation.required,
        default_provider=config.push.default_provider,
        providers={name for name, app in parts.providers if not app},
        device_tokens=parts.device_tokens,
        clock=now_ms,
    )
    return accounts, activation


def sessions(config: Config, parts: Parts, limits: Limits) -> tuple[Tokens, Passwords]:
    """How people log in, and stay so."""
    tokens = Tokens(db=parts.db, keys=parts.keys, clock=now_ms)
    passwords = Passwords(
        db=parts.db,
        hashing=parts.hashing,
        tokens=tokens,
        limits=limits,
        default_provider=config.push.default_provider,
        device_tokens=parts.device_tokens,
        clock=now_ms,
    )
    return tokens, passwords


def http_settings(config: Config) -> HttpSettings:
    return HttpSettings(
        max_image_bytes=config.images.max_bytes,
        min_bytes_per_second=config.uploads.min_bytes_per_second,
        stall_seconds=config.delivery.stall_seconds,
        grace_seconds=config.delivery.grace_seconds,
        proxy_grace_seconds=config.delivery.proxy_grace_seconds,
        rate_window_seconds=config.server.body_timeout_seconds,
        vapid_public_key=vapid_key(config).public if config.push.webpush.enabled else "",
        allowed_origins=config.events.allowed_origins,
        samples=sample_settings(config),
    )


def sample_settings(config: Config) -> SampleSettings:
    """What is not written holds where this machine alone can reach the server, and nowhere else."""
    samples, alone = config.samples, is_loopback(config.server.host) and not config.server.behind_proxy
    return SampleSettings(
        enabled=alone if samples.enabled is None else samples.enabled,
        min_password_bytes=samples.min_password_bytes,
        agora_open_token=alone if samples.agora_open_token is None else samples.agora_open_token,
    )


def send_policy(config: Config) -> SendPolicy:
    return SendPolicy(
        max_pixels=config.images.max_pixels,
        max_ttl_seconds=config.images.ttl_seconds,
        allow_opaque=config.images.allow_opaque,
        max_pending=config.inbox.max_pending,
        max_pending_bytes=config.inbox.max_pending_bytes,
        friends_only=config.messaging.who == "friends",
    )


def lifetimes(config: Config) -> Lifetimes:
    return Lifetimes(
        interval_seconds=config.retention.interval_seconds,
        orphan_seconds=config.retention.orphan_seconds,
        message_days=config.messages.retention_days,
        event_days=config.events.retention_days,
    )
