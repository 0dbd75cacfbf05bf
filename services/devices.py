# SPDX-License-Identifier: Apache-2.0
"""A person's devices: where their pushes go, and what became of those."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from models.db.database import Database, Transaction, write_retrying
from models.db.tables import devices, push_history
from models.db.tables.devices import Address, Device, DeviceId
from models.db.tables.push_history import PastPush
from models.errors import NotFound
from models.paging import IdRange, Page, page_of
from models.user import UserId
from push.base import Delivered, Gone, Outcome, Provider, Push, Rejected, Retry
from services.accounts.registration import DEVICE_TYPES
from services.device_tokens import DeviceTokens
from services.fields import Problems, raise_if_any, read_one_of, unknown
from services.limits import Limits

MAX_DEVICES = 20
"""Each image sends one push to each device; a person who reinstalls an app leaves dead tokens behind."""
SHOWN_PUSHES = 20
"""One screen of the latest: enough to see whether pushes arrive."""
TEST_PAYLOAD = '{"type":"test"}'
TEST_TTL_SECONDS = 60
TEST_SECONDS = 10.0
"""Somebody waits for the answer on a screen."""

log = logging.getLogger("glimpse.devices")


@dataclass(frozen=True, slots=True)
class Tested:
    """What a provider said to a test: `delivered`, `retry`, `gone` or `rejected`, and how long it took."""

    outcome: str
    provider: str
    reason: str
    latency_ms: int


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Devices:
    """What people do with their own devices. `providers` go by name and app; `clock` gives milliseconds."""

    db: Database
    tokens: DeviceTokens
    providers: Mapping[tuple[str, str], Provider]
    limits: Limits
    clock: Callable[[], int]
    test_seconds: float = TEST_SECONDS

    async def register(self, uid: UserId, fields: Mapping[str, Any]) -> DeviceId:
        """Make a token one of the person's devices; beyond `MAX_DEVICES` the one registered longest ago ends.

        Raises InvalidField, EndpointNotAllowed.
        """
        problems = unknown(fields, {"provider", "app", "token", "cid", "device_type"})
        provider, app = self.tokens.read_place(fields.get("provider"), fields.get("app"), problems)
        name, value = _read_token(fields, problems)
        device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, "", problems)
        raise_if_any(problems)
        token = await self.tokens.check(provider, value, field=name)

        async def unit(tx: Transaction) -> DeviceId:
            now = self.clock()
            device_id = await devices.register(
                tx, uid=uid, provider=provider, app=app, token=token, device_type=device_type, now=now
            )
            await devices.end(tx, device_ids=_excess(await devices.list_active(tx, uid=uid), device_id), now=now)
            return device_id

        return await write_retrying(self.db, unit)

    async def list_devices(self, uid: UserId, wanted: IdRange) -> Page[Device]:
        """The person's devices that get pushes, oldest first. There are so few that all are read for any page."""
        active = await devices.list_active(self.db, uid=uid)
        found = [device for device in active if wanted.after < device.device_id < wanted.before]
        return page_of(found, wanted.limit, lambda device: device.device_id)

    async def replace_token(self, uid: UserId, device_id: int, fields: Mapping[str, Any]) -> None:
        """Give a device the token that it has now. Raises NotFound, InvalidField, EndpointNotAllowed."""
        address = await self._address(uid, device_id)
        problems = unknown(fields, {"token", "cid", "device_type"})
        name, value = _read_token(fields, problems)
        device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, address.device_type, problems)
        raise_if_any(problems)
        token = await self.tokens.check(address.provider, value, field=name)

        async def unit(tx: Transaction) -> bool:
            found = await devices.find_address(tx, uid=uid, device_id=device_id)
            if found is not None:
                await devices.replace_token(
                    tx,
                    device_id=DeviceId(device_id),
                    provider=found.provider,
                    app=found.app,
                    token=token,
                    device_type=device_type,
                    now=self.clock(),
                )
            return found is not None

        if not await write_retrying(self.db, unit):
            raise NotFound

    async def end(self, uid: UserId, device_id: int) -> None:
        """No more pushes to this device. Raises NotFound."""

        async def unit(tx: Transaction) -> bool:
            found = await devices.find_address(tx, uid=uid, device_id=device_id)
            if found is not None:
                await devices.end(tx, device_ids=[DeviceId(device_id)], now=self.clock())
            return found is not None

        if not await self.db.write(unit):
            raise NotFound

    async def pushes(self, uid: UserId, device_id: int, limit: int) -> list[PastPush]:
        """What became of the device's latest pushes, newest first, of which `SHOWN_PUSHES` are shown. Raises NotFound.

        A device that has ended still tells why, for as long as its pushes are kept.
        """
        limit = min(limit, SHOWN_PUSHES)
        found = await push_history.list_latest(self.db, uid=uid, device_id=device_id, limit=limit)
        if not found:
            await self._address(uid, device_id)
        return found

    async def test_push(self, uid: UserId, device_id: int) -> Tested:
        """Send a test through the device's provider now, and what it says within `test_seconds`.

        A device whose token it calls dead ends, as the relay would end it. Raises NotFound, RateLimited.
        """
        address = await self._address(uid, device_id)
        await self.limits.check_device("test_push", device_id)
        asked_at, began = self.clock(), perf_counter()
        outcome = await self._ask(address)
        latency_ms = round(1000 * (perf_counter() - began))
        if isinstance(outcome, Gone) and outcome.at is not None and address.registered_at >= outcome.at:
            outcome = Retry(f"gone before it was registered: {outcome.reason}")
        await self._note(device_id, address, outcome, asked_at)
        reason = ("stale" if outcome.stale else "") if isinstance(outcome, Delivered) else outcome.reason
        return Tested(type(outcome).__name__.lower(), address.provider, reason, latency_ms)

    async def _ask(self, address: Address) -> Outcome:
        provider = self.providers.get((address.provider, address.app))
        if provider is None:
            return Retry("provider not configured")
        push = Push(address.token, TEST_PAYLOAD, secrets.token_hex(16), TEST_TTL_SECONDS, address.device_type)
        try:
            async with asyncio.timeout(self.test_seconds):
                [outcome] = await provider.send([push])
        except TimeoutError:
            return Retry("no answer in time")
        except Exception as error:  # noqa: BLE001 - one device's fault, and its owner is to know
            log.error("push provider raised", extra={"provider": address.provider, "error": type(error).__name__})
            return Rejected("the server cannot make this push")
        return outcome

    async def _note(self, device_id: int, address: Address, outcome: Outcome, asked_at: int) -> None:
        """Write what the provider said of the token, unless a newer one has come meanwhile."""

        async def unit(tx: Transaction) -> None:
            now = self.clock()
            if isinstance(outcome, Gone):
                await devices.end_if_not_newer(
                    tx,
                    device_id=device_id,
                    token_digest=address.token_digest,
                    registered_before=asked_at if outcome.at is None else min(asked_at, outcome.at),
                    now=now,
                )
            else:
                await devices.mark_stale(tx, device_ids=[DeviceId(device_id)], now=now)

        if isinstance(outcome, Gone) or (isinstance(outcome, Delivered) and outcome.stale):
            await self.db.write(unit)

    async def _address(self, uid: UserId, device_id: int) -> Address:
        address = await devices.find_address(self.db, uid=uid, device_id=device_id)
        if address is None:
            raise NotFound
        return address


def _read_token(fields: Mapping[str, Any], problems: Problems) -> tuple[str, Any]:
    """The token and the name it came under."""
    given = [name for name in ("token", "cid") if fields.get(name) not in (None, "")]
    if len(given) != 1:
        problems.append(("token", "is needed, or cid in its place"))
        return "token", None
    return given[0], fields[given[0]]


def _excess(active: list[Device], newest: DeviceId) -> list[DeviceId]:
    """The devices that there are too many, longest registered first."""
    others = sorted((device for device in active if device.device_id != newest), key=lambda d: -d.registered_at)
    return [device.device_id for device in others[MAX_DEVICES - 1 :]]
