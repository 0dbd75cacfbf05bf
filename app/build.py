# SPDX-License-Identifier: Apache-2.0
"""The parts of a server, made from its configuration: the only place that knows them all."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from app.ending import Ending
from app.providers import chat_services, push_providers, sms_provider, vapid_key
from app.services import Parts, wire
from config.load import Config
from handlers.shared import Services
from httpclient.endpoints import Endpoints
from models.clock import SteadyClock
from models.db.database import Database
from models.db.engine import bring_up_to_date, inspect, open_database
from models.db.tables import users
from models.keys import KeyRing, open_key_ring
from models.phone import phone_hash
from models.private_files import KEY_RING
from models.shared_counters import SharedCounters
from models.thumbnail_token import ThumbnailTokens
from previewing.maker import PreviewMaker
from push.payload import Pictures
from push.relay import Relay
from push.sms.queue import SmsQueue
from services.accounts.password_hashing import Hashing
from services.device_tokens import DeviceTokens
from services.machine_bus import MachineBus
from services.maintenance.clock_watch import ClockWatch
from services.maintenance.keyring_sync import KeyringSync
from services.maintenance.retention import Lifetimes, Retention
from services.worker_bus import WorkerBus
from storage.base import BlobStore
from storage.places import open_store


class MigrationPending(Exception):
    """The database has to be migrated, beside a server whose schema it is. The text says what to do."""


async def prepare(config: Config, *, migrates: bool) -> None:
    """Make what is made once, before several processes use it: the schema, the key ring, the VAPID key.

    Raises SchemaTooNew, MigrationPending, KeyRingError, DatabaseError, OSError.
    """
    await _bring_up_to_date(config, migrates=migrates)
    db = open_database(config.database_location)
    try:
        open_key_ring(config.data_dir / KEY_RING, sealed=await users.find_phone_cipher(db))
    finally:
        await db.close()
    if config.push.webpush.enabled:
        vapid_key(config)


async def _bring_up_to_date(config: Config, *, migrates: bool) -> None:
    if migrates:
        await bring_up_to_date(config.database_location)
    elif pending := (await inspect(config.database_location)).pending:
        raise MigrationPending(f"the schema lacks {', '.join(pending)}: stop the server, then start it")


async def database_ready(config: Config, ending: Ending, *, migrates: bool) -> bool:
    """Wait for the database and bring it up to date. False if this process is to end before that is done.

    Unless it `migrates`, another generation serves with the schema as it is. A migration interrupted by a signal is
    completed at the next start. Raises SchemaTooNew, MigrationPending, DatabaseError.
    """
    coming = asyncio.create_task(_bring_up_to_date(config, migrates=migrates))
    leaving = asyncio.create_task(ending.wanted())
    await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if coming.done():
        coming.result()
        return True
    coming.cancel()
    return False


@asynccontextmanager
async def build(
    config: Config, ending: Ending, counters: SharedCounters, worker_bus: WorkerBus
) -> AsyncIterator[Services]:
    """The parts, running, in the order in which they need each other; ended in the other order, within `ending`.

    The database is up to date. `counters` and `worker_bus` lead to the processes that serve beside this one.
    """
    async with AsyncExitStack() as stack:
        db = open_database(config.database_location, beside=lambda: ending.beside)
        stack.push_async_callback(db.close)
        clock = await stack.enter_async_context(watched_clock(db))
        server_id = secrets.token_hex(8)
        keys = await stack.enter_async_context(followed_keys(config, db, server_id, clock))
        store = await stack.enter_async_context(opened_store(config, counters))
        sms = SmsQueue(sms_provider(config))
        stack.push_async_callback(lambda: sms.close(within=ending.left()))
        endpoints = Endpoints(config.push.allow_endpoints)
        stack.callback(endpoints.close)
        providers = push_providers(config, endpoints)
        _close_with(stack, providers)
        relay = Relay(
            db,
            providers,
            lambda cipher: phone_hash(keys.decrypt_phone(cipher)),
            pictures=Pictures(
                picture=config.push.picture, public_url=config.server.public_url, sign=ThumbnailTokens(keys).sign
            ),
            server_id=server_id,
            clock=clock,
            ages=clock.ages,
        )
        relaying = asyncio.create_task(relay.run())
        stack.push_async_callback(lambda: relay.stop(within=ending.left()))
        hosted = chat_services(config)
        _close_with(stack, hosted)
        retention = await stack.enter_async_context(
            running_retention(config, db, store, clock, ending, first=counters.number == 0)
        )
        ending.on_leaving += [relay.stop, retention.stop]
        hashing = Hashing()
        stack.callback(hashing.close)
        preview_maker = await stack.enter_async_context(making_previews()) if config.images.previews == "make" else None
        parts = Parts(
            clock=clock,
            db=db,
            keys=keys,
            store=store,
            sms=sms,
            hashing=hashing,
            providers=providers,
            device_tokens=DeviceTokens(providers, default_provider=config.push.default_provider, endpoints=endpoints),
            hosted=hosted,
            relay=relay,
            relay_runs=lambda: ending.leaves or not relaying.done(),
            retention=retention,
            preview_maker=preview_maker,
            counters=counters,
            worker_bus=worker_bus,
        )
        services = wire(config, parts)
        await stack.enter_async_context(hearing(config, parts, services))
        yield services


class _Closing(Protocol):
    async def close(self) -> None: ...


def _close_with(stack: AsyncExitStack, services: Mapping[Any, _Closing]) -> None:
    for each in services.values():
        stack.push_async_callback(each.close)


@asynccontextmanager
async def watched_clock(db: Database) -> AsyncIterator[SteadyClock]:
    """The time, which goes by the database's last sighting of the clock as long as the wall clock is off."""
    clock = SteadyClock()
    watch = ClockWatch(db, clock)
    await watch.begin()
    watching = asyncio.create_task(watch.run())
    try:
        yield clock
    finally:
        watching.cancel()


@asynccontextmanager
async def opened_store(config: Config, counters: SharedCounters) -> AsyncIterator[BlobStore]:
    """The images, to be closed at the end of the block."""
    place = config.image_place
    store = open_store(
        place,
        min_free_bytes=config.storage.min_free_bytes,
        max_bytes=config.storage.max_bytes,
        counters=counters,
    )
    try:
        if place.bucket is not None:
            await store.probe()  # it has this server's mark, or what is wrong is known, before anybody asks
        yield store
    finally:
        store.close()


@asynccontextmanager
async def running_retention(
    config: Config, db: Database, store: BlobStore, clock: SteadyClock, ending: Ending, *, first: bool
) -> AsyncIterator[Retention]:
    """For the length of a block have what is over removed. The `first` process of a machine counts what is kept."""
    retention = Retention(
        db,
        store,
        lifetimes=lifetimes(config),
        clock=clock.ages,
        is_off=lambda: clock.jump != 0,
        tends_machine=first,
    )
    if first:
        await retention.count_stored()
    retaining = asyncio.create_task(retention.run())
    try:
        yield retention
    finally:
        await retention.stop(within=ending.left())
        retaining.cancel()


@asynccontextmanager
async def making_previews() -> AsyncIterator[PreviewMaker]:
    """For the length of a block a process that decodes images."""
    maker = PreviewMaker()
    maker.start()
    try:
        yield maker
    finally:
        await maker.close()


@asynccontextmanager
async def followed_keys(config: Config, db: Database, server_id: str, clock: SteadyClock) -> AsyncIterator[KeyRing]:
    """The key ring, which becomes whatever its file becomes until the end of the block.

    For its length this process stands in the database by `server_id`.
    """
    path = config.data_dir / KEY_RING
    keys = open_key_ring(path, sealed=await users.find_phone_cipher(db))
    watch = KeyringSync(db=db, keys=keys, path=path, server_id=server_id, clock=clock)
    await watch.enter()
    watching = asyncio.create_task(watch.run())
    try:
        yield keys
    finally:
        watching.cancel()
        await watch.leave()


@asynccontextmanager
async def hearing(config: Config, parts: Parts, services: Services) -> AsyncIterator[None]:
    """For the length of a block be woken by what the processes beside this one and other machines commit; at its end
    save what has come of uploads.
    """
    events, bus = services.events, parts.worker_bus
    bus.listen(wake_readers=events.wake, wake_relay=parts.relay.wake, wake_retention=parts.retention.wake)
    following = [asyncio.create_task(events.follow_elsewhere())]
    if url := config.wake.url.get_secret_value():
        machines = MachineBus(url, config.wake_channel, sender=bus.machine.encode(), hear=bus.hear)
        bus.lead_to(machines)
        following.append(asyncio.create_task(machines.run()))
    try:
        yield
    finally:
        bus.close()
        for task in following:
            task.cancel()
        await services.uploads.close()


def lifetimes(config: Config) -> Lifetimes:
    """How long everything is kept. A fetched image stays for the longer of its two graces."""
    return config.fill(
        Lifetimes,
        *("retention", "messages", "events", "uploads", "admin"),
        orphan_seconds=config.orphan_seconds,
        grace_seconds=max(config.delivery.grace_seconds, config.delivery.proxy_grace_seconds),
    )
