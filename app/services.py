# SPDX-License-Identifier: Apache-2.0
"""The use cases of a server over the parts that run below them, and what its handlers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.providers import vapid_key
from chat.base import ChatService
from config.addresses import is_loopback
from config.load import Config
from handlers.address import Proxies
from handlers.origins import Origins
from handlers.shared import Activity, HttpSettings, SampleSettings, Services, Turns
from handlers.uploads import BufferBudget
from models.access_token import AccessTokens
from models.clock import HOUR_MS, SteadyClock
from models.db.database import Database
from models.keys import KeyRing
from models.metadata import Removal
from models.origin import normal_origin
from models.rules import SendPolicy
from models.shared_counters import SharedCounters
from models.thumbnail_token import ThumbnailTokens
from previewing.maker import PreviewMaker
from push.base import Provider
from push.relay import Relay
from push.sms.queue import SmsQueue
from services.accounts.account_deletion import AccountDeletion
from services.accounts.account_issuing import AccountIssuing
from services.accounts.activation import Activation
from services.accounts.export import Export
from services.accounts.password_hashing import Hashing
from services.accounts.passwords import Passwords
from services.accounts.profile import Accounts
from services.accounts.session_ids import SessionIds
from services.accounts.sessions import Tokens
from services.accounts.sms_budgets import SmsBudgets
from services.authentication import Authentication
from services.chat import Chat
from services.conversations import Conversations
from services.device_tokens import DeviceTokens
from services.devices import Devices
from services.discovery import Discovery, DiscoveryBudgets
from services.events import Events
from services.gauges import Gauges
from services.groups import Groups
from services.health import Health
from services.history import History
from services.limits import Limits
from services.maintenance.retention import Retention
from services.messaging import Messaging
from services.operator_page import OperatorPage
from services.people import People
from services.previews import Previews
from services.reading import Reading
from services.reports import Reports
from services.rooms import Rooms
from services.sending import Sending
from services.thumbnails import Thumbnails
from services.uploads import Uploads
from services.worker_bus import WorkerBus
from storage.base import BlobStore
from storage.space import Floor

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What runs below the use cases. `providers` are the push providers by name and app."""

    clock: SteadyClock
    db: Database
    keys: KeyRing
    store: BlobStore
    sms: SmsQueue
    hashing: Hashing
    providers: Mapping[tuple[str, str], Provider]
    device_tokens: DeviceTokens
    hosted: Mapping[str, ChatService]
    relay: Relay
    relay_runs: Callable[[], bool]
    retention: Retention
    preview_maker: PreviewMaker | None
    counters: SharedCounters
    worker_bus: WorkerBus

    def wake_relay(self) -> None:
        """Here and beside: whoever has room sends."""
        self.relay.wake()
        self.worker_bus.tell_of_pushes()

    def wake_retention(self) -> None:
        """Here and beside: one process alone removes what has ended."""
        self.retention.wake()
        self.worker_bus.tell_of_ended_image()


def wire(config: Config, parts: Parts) -> Services:
    """The use cases over these parts, and what the handlers share."""
    db, keys, store = parts.db, parts.keys, parts.store
    limits = rate_limits(config, parts)
    accounts, activation = registration(config, parts, limits)
    access_tokens = AccessTokens(keys)
    tokens, passwords = sessions(config, parts, limits, access_tokens)
    discovery = finding_people(config, parts, limits)
    authentication = Authentication(db=db, keys=keys, access_tokens=access_tokens, limits=limits, clock=parts.clock)
    events = event_readers(config, parts, authentication)
    groups = Groups(
        db=db, limits=limits, policy=send_policy(config), wake_retention=parts.wake_retention, clock=parts.clock
    )
    sending, messaging = outgoing(config, parts, limits, discovery)
    wake_retention, clock = parts.wake_retention, parts.clock
    reading = Reading(db=db, store=store, keys=keys, wake_retention=wake_retention, clock=clock, ages=clock.ages)
    history = History(db=db, clock=parts.clock)
    account_deletion = AccountDeletion(db=db, keys=keys, wake_retention=parts.wake_retention, clock=parts.clock)
    export = Export(db=db, keys=keys, clock=parts.clock)
    health = Health(db=db, store=store, relay_runs=parts.relay_runs, floors=floors(config))
    return Services(
        authentication=authentication,
        accounts=accounts,
        activation=activation,
        account_deletion=account_deletion,
        export=export,
        passwords=passwords,
        tokens=tokens,
        session_ids=SessionIds(db=db, clock=parts.clock),
        limits=limits,
        discovery=discovery,
        people=People(db=db, clock=parts.clock),
        reports=Reports(db=db, store=store, limits=limits, policy=send_policy(config), clock=parts.clock),
        groups=groups,
        sending=sending,
        uploads=resumed_uploads(config, parts, sending),
        reading=reading,
        thumbnails=Thumbnails(db=db, tokens=ThumbnailTokens(keys), reading=reading, limits=limits, clock=parts.clock),
        messaging=messaging,
        history=history,
        conversations=Conversations(db=db, history=history, clock=parts.clock),
        rooms=Rooms(db=db, keys=keys, groups=groups, messaging=messaging, events=events, limits=limits),
        events=events,
        chat=Chat(db=db, services=parts.hosted, clock=parts.clock),
        devices=Devices(db=db, tokens=parts.device_tokens, providers=parts.providers, limits=limits, clock=parts.clock),
        health=health,
        gauges=Gauges(
            db=db,
            store=store,
            breakers=lambda: parts.relay.breakers,
            pauses=lambda: parts.relay.pauses,
            clock=parts.clock,
        ),
        operator_page=operator_page(config, parts, account_deletion, export, health),
        proxies=Proxies(config.server.trusted_proxies if config.server.behind_proxy else ()),
        origins=Origins(frozenset(config.server.cors_origins), normal_origin(config.server.public_url)),
        activity=Activity(),
        turns=Turns(),
        buffers=BufferBudget(config.uploads.buffer_bytes, parts.counters.buffers),
        unknown_callers=BufferBudget(config.uploads.unknown_caller_max_bytes, parts.counters.unknown_callers),
        settings=http_settings(config),
    )


def rate_limits(config: Config, parts: Parts) -> Limits:
    """What counts requests, and what they cost."""
    return Limits(
        db=parts.db,
        keys=parts.keys,
        per_address=config.limits.rates.per_address,
        per_account=config.limits.rates.per_account,
        per_phone=config.limits.rates.per_phone,
        per_device=config.limits.rates.per_device,
        enabled=config.limits.enabled,
        workers=config.server.workers,
    )


def finding_people(config: Config, parts: Parts, limits: Limits) -> Discovery:
    """Who has which number, as far as may be asked."""
    return Discovery(
        db=parts.db,
        keys=parts.keys,
        limits=limits,
        budgets=config.fill(DiscoveryBudgets, "discovery"),
        limits_enabled=config.limits.enabled,
        clock=parts.clock,
    )


def event_readers(config: Config, parts: Parts, authentication: Authentication) -> Events:
    """How people hear of what happens."""
    return Events(
        db=parts.db,
        authentication=authentication,
        max_readers=config.events.max_readers,
        readers=parts.counters.readers,
        tell_workers=parts.worker_bus.tell_of_events,
        clock=parts.clock,
    )


def outgoing(config: Config, parts: Parts, limits: Limits, discovery: Discovery) -> tuple[Sending, Messaging]:
    """How images and texts go to people and groups."""
    policy = send_policy(config)
    sending = Sending(
        db=parts.db,
        store=parts.store,
        keys=parts.keys,
        limits=limits,
        discovery=discovery,
        previews=Previews(store=parts.store, kept=config.images.previews != "off", maker=parts.preview_maker),
        policy=policy,
        push_give_up_hours=config.push.give_up_hours,
        wake_relay=parts.wake_relay,
        clock=parts.clock,
    )
    messaging = Messaging(
        db=parts.db,
        limits=limits,
        discovery=discovery,
        policy=policy,
        retention_days=config.messages.retention_days,
        push_give_up_hours=config.push.give_up_hours,
        wake_relay=parts.wake_relay,
        clock=parts.clock,
    )
    return sending, messaging


def resumed_uploads(config: Config, parts: Parts, sending: Sending) -> Uploads:
    """Images that come in several requests."""
    return Uploads(
        db=parts.db,
        store=parts.store,
        keys=parts.keys,
        sending=sending,
        removal=images_metadata(config),
        images_max_bytes=config.images.max_bytes,
        expire_hours=config.uploads.expire_hours,
        clock=parts.clock,
    )


def operator_page(
    config: Config, parts: Parts, account_deletion: AccountDeletion, export: Export, health: Health
) -> OperatorPage:
    """What the operator's page asks and does."""
    return OperatorPage(
        db=parts.db,
        store=parts.store,
        keys=parts.keys,
        account_deletion=account_deletion,
        export=export,
        health=health,
        breakers=lambda: parts.relay.breakers,
        outages=lambda: parts.relay.outages,
        pauses=lambda: parts.relay.pauses,
        wake_relay=parts.wake_relay,
        give_up_ms=config.push.give_up_hours * HOUR_MS,
        clock=parts.clock,
    )


def floors(config: Config) -> dict[str, Floor]:
    """What stays free on each disk that people's writes end up on."""
    least = config.storage.min_free_bytes
    found = {"image_space": Floor(str(config.images_directory), least)}
    if config.database_path:
        found["database_space"] = Floor(str(config.database_path.parent), least)
    return found


def registration(config: Config, parts: Parts, limits: Limits) -> tuple[Accounts, Activation]:
    """How accounts begin, with proof of the phone and without."""
    account_issuing = AccountIssuing(
        keys=parts.keys,
        recycled_after_days=config.activation.recycled_after_days,
        push_give_up_hours=config.push.give_up_hours,
        clock=parts.clock,
        ages=parts.clock.ages,
    )
    activation = Activation(
        db=parts.db,
        keys=parts.keys,
        account_issuing=account_issuing,
        limits=limits,
        sms=parts.sms,
        budgets=SmsBudgets(parts.keys, config.activation.budgets.model_dump()),
        regions=config.sms.regions,
        test_numbers={number: code.get_secret_value() for number, code in config.activation.test_numbers.items()},
        wake_relay=parts.wake_relay,
        clock=parts.clock,
    )
    accounts = Accounts(
        db=parts.db,
        keys=parts.keys,
        limits=limits,
        account_issuing=account_issuing,
        activation=activation,
        activation_required=config.activation.required,
        default_provider=config.push.default_provider,
        providers={name for name, app in parts.providers if not app},
        device_tokens=parts.device_tokens,
        clock=parts.clock,
    )
    return accounts, activation


def sessions(config: Config, parts: Parts, limits: Limits, access_tokens: AccessTokens) -> tuple[Tokens, Passwords]:
    """How people log in, and stay so."""
    tokens = Tokens(db=parts.db, access_tokens=access_tokens, clock=parts.clock)
    passwords = Passwords(
        db=parts.db,
        hashing=parts.hashing,
        tokens=tokens,
        limits=limits,
        default_provider=config.push.default_provider,
        device_tokens=parts.device_tokens,
        clock=parts.clock,
    )
    return tokens, passwords


def http_settings(config: Config) -> HttpSettings:
    """What the handlers go by."""
    return config.fill(
        HttpSettings,
        *("server", "images", "uploads", "delivery"),
        images_metadata=images_metadata(config),
        vapid_public_key=vapid_key(config).public if config.push.webpush.enabled else "",
        web_enabled=config.web.enabled,
        samples=sample_settings(config),
    )


def images_metadata(config: Config) -> Removal | None:
    """What is overwritten in images; None for nothing."""
    return None if config.images.metadata == "keep" else Removal(config.images.metadata)


def sample_settings(config: Config) -> SampleSettings:
    """What is not written holds where this machine alone can reach the server, and nowhere else."""
    samples, alone = config.samples, is_loopback(config.server.host) and not config.server.behind_proxy
    return SampleSettings(
        enabled=alone if samples.enabled is None else samples.enabled,
        min_password_bytes=samples.min_password_bytes,
        agora_open_token=alone if samples.agora_open_token is None else samples.agora_open_token,
    )


def send_policy(config: Config) -> SendPolicy:
    """What the rules of sending go by."""
    return config.fill(SendPolicy, "images", "inbox", "messaging")
