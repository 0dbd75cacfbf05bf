# SPDX-License-Identifier: Apache-2.0
"""Whether a server with these settings could be built: `app.build` short of listening, looked at only.

Nothing is made, and everything that is wrong is said at once, one line each, which begins with the key.
"""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from app.open_files import too_few_files
from app.providers import chat_services, push_settings, push_tools, sms_provider
from config.exposure import guard
from config.load import Config, ConfigError, unrelated
from httpclient.endpoints import Endpoints
from models.db.database import DatabaseError
from models.db.engine import inspect, open_database
from models.db.migration_steps import SchemaTooNew
from models.db.mysql import server_settings
from models.db.mysql.connection import MysqlLocation
from models.db.tables import users
from models.errors import StorageError
from models.keys import KeyRingError, open_key_ring
from models.private_files import KEY_RING
from push.registry import build
from services.machine_bus import trouble


def checked(load: Callable[[], Config], *, ask_server: bool) -> Config:
    """The configuration that this loads, if a server could be built with it. Raises ConfigError with all that is wrong.

    Where settings are wrong, the rest is looked at with their defaults in place. Unless `ask_server`, no database
    server, no bucket and no server for wake-ups is asked: a server that starts waits for them, or goes without.
    """
    try:
        config = load()
    except ConfigError as error:
        if error.usable is None:
            raise
        further = asyncio.run(_obstacles(error.usable, ask_server=ask_server))
        raise ConfigError([*error.problems, *unrelated(further, error.broken)]) from None
    found = asyncio.run(_obstacles(config, ask_server=ask_server)) or asyncio.run(_unmade_vendors(config))
    if found:
        raise ConfigError(found)
    return config


async def _obstacles(config: Config, *, ask_server: bool) -> list[str]:
    found = [f"server.host {config.server.host}: {refusal}" for refusal in guard(config)]
    found += filter(None, [too_few_files(config)])
    found += unwritable_places(config)
    found += [line async for line in _database(config, ask_server=ask_server)]
    found += [line async for line in _bucket(config)] if ask_server else []
    found += [line async for line in _wake_ups(config)] if ask_server else []
    found += _vapid_key(config)
    return found


def unwritable_places(config: Config) -> Iterator[str]:
    """The places for data that cannot be made or written to: key, place and reason of each."""
    places = {"data_dir": config.data_dir, "storage.directory": config.images_directory}
    if config.database_path:
        places["database.url"] = config.database_path.parent
    for key, place in places.items():
        within = key != "data_dir" and place.is_relative_to(config.data_dir)
        reason = _why_not_written_to(place)
        if reason and not (within and _why_not_written_to(config.data_dir)):  # that is said of data_dir
            yield f"{key}: {reason}"


def _why_not_written_to(directory: Path) -> str:
    """Why files cannot be made in this directory, or the directory itself cannot; empty if they can."""
    for place in (directory.absolute(), *directory.absolute().parents):
        try:
            if not stat.S_ISDIR(place.stat().st_mode):
                return f"{place} is no directory"
            with tempfile.TemporaryFile(dir=place):  # it has no name
                return ""
        except FileNotFoundError as error:
            if place.exists():
                return f"{place}: nothing can be made there: {error.strerror}"
        except OSError as error:
            return f"{place} cannot be written to: {error.strerror}"
    return ""


async def _database(config: Config, *, ask_server: bool) -> AsyncIterator[str]:
    """Whether the database can be opened, and the key ring is the one that its numbers were sealed with."""
    location = config.database_location
    sealed: bytes | None = None
    try:
        if isinstance(location, MysqlLocation):
            sealed = await _ask(location) if ask_server else None
        elif stat.S_ISREG(location.stat().st_mode):
            sealed = await _sealed_number(location)
        else:
            yield f"database.url: {location} is no regular file"
    except SchemaTooNew as error:
        yield f"database.url: {error}"
    except DatabaseError as error:
        if isinstance(location, MysqlLocation) or not _why_not_written_to(location.parent):  # else that is said
            yield f"database.url: {location}: {error.cause}"
    except FileNotFoundError:
        pass
    except OSError as error:
        if isinstance(location, Path) and not _why_not_written_to(location.parent):  # else that is said
            yield f"database.url: {location} cannot be opened: {error.strerror}"
    for line in _key_ring(config, sealed):
        yield line


def _key_ring(config: Config, sealed: bytes | None) -> Iterator[str]:
    """Whether the key ring can be read, and opens what the database holds."""
    ring = config.data_dir / KEY_RING
    try:
        if sealed is not None or _is_there(ring):
            open_key_ring(ring, sealed=sealed)
    except KeyRingError as error:
        yield f"data_dir: {error}"
    except OSError as error:
        yield f"data_dir: {ring} cannot be read: {error.strerror}"


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


async def _ask(location: MysqlLocation) -> bytes | None:
    """Any number that a server's database holds. Raises SchemaTooNew, DatabaseError."""
    await server_settings.check(location)
    return await _sealed_number(location)


async def _sealed_number(location: Path | MysqlLocation) -> bytes | None:
    """Any number that the database holds, sealed. Raises SchemaTooNew, DatabaseError."""
    if (await inspect(location)).pending:
        return None  # this version cannot read it before it has migrated it
    db = open_database(location)
    try:
        return await users.find_phone_cipher(db)
    finally:
        await db.close()


async def _bucket(config: Config) -> AsyncIterator[str]:
    """Whether the bucket can be read."""
    place = config.image_place
    if place.bucket is not None and place.bucket.bucket:
        from storage.bucket import Bucket  # noqa: PLC0415 - as in storage.places

        try:
            await Bucket(place.bucket).is_used()
        except StorageError as error:
            yield f"storage.s3: {error.__cause__}"


async def _wake_ups(config: Config) -> AsyncIterator[str]:
    """Whether machines can be woken by the server of `wake.url`."""
    url, channel = config.wake.url.get_secret_value(), config.wake_channel
    if url and channel and (reason := await trouble(url, channel)):
        yield f"wake.url: {reason}"


def _vapid_key(config: Config) -> Iterator[str]:
    """Whether the key that browsers subscribe with can be read, where there is one."""
    try:
        push_settings(config, may_make=False)
    except (OSError, ValueError) as error:
        yield f"push.webpush.private_key: {error}"


async def _unmade_vendors(config: Config) -> list[str]:
    """Whether everything that speaks to vendors can be made."""
    endpoints = Endpoints(config.push.allow_endpoints)
    try:
        providers = build(push_settings(config, may_make=False), push_tools(config, endpoints))
        sms = sms_provider(config)
        hosted = chat_services(config)
    except (OSError, ValueError) as error:  # that settings which were found good make nothing is a fault of ours
        return [f"push, sms, chat: {error}"]
    for provider in providers.values():
        await provider.close()
    for service in hosted.values():
        await service.close()
    await sms.close()
    endpoints.close()
    return []
