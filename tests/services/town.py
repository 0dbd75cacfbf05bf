# SPDX-License-Identifier: Apache-2.0
"""People who send each other images and texts through the services, many at once, over a real database and store."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from models.access_token import AccessTokens
from models.clock import HOUR_MS
from models.db.database import Database, Transaction
from models.db.tables import outbox
from models.db.tables.outbox import Claimed, Kind, State
from models.keys import KeyRing, new_key_ring
from models.rules import SendPolicy
from models.user import UserId
from services import membership
from services.authentication import Authentication, Caller
from services.discovery import Discovery, DiscoveryBudgets
from services.events import Events
from services.fields import read_addressee
from services.groups import Groups, read_new_group
from services.limits import Limits
from services.maintenance.retention import Lifetimes, Retention
from services.messaging import Messaging, read_draft
from services.people import People
from services.previews import Previews
from services.reading import Reading
from services.sending import ADDRESSEES, ImageDraft, Sending, SentImage, read_content
from storage.disk import DiskStore
from tests.support import shipped
from tests.support.clock import Clock
from tests.support.engines import Engine
from tests.support.people import add_caller, add_device
from tests.support.shipped import send_policy

T = TypeVar("T")

MAX_PENDING = 8
TTL_SECONDS = 3600
LIFETIMES = Lifetimes(
    interval_seconds=3600,
    orphan_seconds=6 * 3600,
    grace_seconds=600,
    messages_retention_days=365,
    events_retention_days=7,
    uploads_expire_hours=24,
    admin_audit_days=730,
)
LANE = ("log", "")
BUDGETS = DiscoveryBudgets(per_day=1000, per_network_per_day=100_000, total_per_day=100_000)
ADDRESS = "192.0.2.1"


@dataclass
class Town:
    db: Database
    engine: Engine
    store: DiskStore
    folder: Path
    clock: Clock
    keys: KeyRing
    max_pending: int = MAX_PENDING
    max_pending_bytes: int = 10**9
    shares: dict[str, int] = field(default_factory=dict)
    callers: dict[UserId, Caller] = field(default_factory=dict)
    relay_wakings: int = 0

    def wake_relay(self) -> None:
        self.relay_wakings += 1

    @cached_property
    def policy(self) -> SendPolicy:
        rooms = {"max_pending": self.max_pending, "max_pending_bytes": self.max_pending_bytes}
        return send_policy(max_pixels=1000, allow_opaque=True, **rooms, **self.shares)

    @cached_property
    def limits(self) -> Limits:
        return Limits(db=self.db, keys=self.keys, enabled=False, **shipped.rates())

    @cached_property
    def discovery(self) -> Discovery:
        return Discovery(
            db=self.db, keys=self.keys, limits=self.limits, budgets=BUDGETS, limits_enabled=False, clock=self.clock
        )

    @cached_property
    def sending(self) -> Sending:
        return Sending(
            db=self.db,
            store=self.store,
            keys=self.keys,
            limits=self.limits,
            discovery=self.discovery,
            previews=Previews(store=self.store),
            policy=self.policy,
            push_give_up_hours=72,
            wake_relay=self.wake_relay,
            clock=self.clock,
        )

    @cached_property
    def messaging(self) -> Messaging:
        return Messaging(
            db=self.db,
            limits=self.limits,
            discovery=self.discovery,
            policy=self.policy,
            retention_days=365,
            push_give_up_hours=72,
            wake_relay=self.wake_relay,
            clock=self.clock,
        )

    @cached_property
    def reading(self) -> Reading:
        return Reading(
            db=self.db, store=self.store, keys=self.keys, wake_retention=lambda: None, clock=self.clock, ages=self.clock
        )

    @cached_property
    def groups(self) -> Groups:
        return Groups(db=self.db, limits=self.limits, policy=self.policy, wake_retention=lambda: None, clock=self.clock)

    @cached_property
    def people(self) -> People:
        return People(db=self.db, clock=self.clock)

    def events(self, db: Database | None = None) -> Events:
        """The readers of logs of one more process."""
        authentication = Authentication(
            db=self.db, keys=self.keys, access_tokens=AccessTokens(self.keys), limits=self.limits, clock=self.clock
        )
        return Events(db=db or self.db, authentication=authentication, max_readers=10, clock=self.clock)

    async def log(self, uid: UserId) -> list[tuple[str, dict[str, Any]]]:
        """The type and the data of each of a person's events, as they read them."""
        reader = await self.events().open(self.callers[uid], 0)
        found: list[tuple[str, dict[str, Any]]] = []
        while some := await reader.next(0):
            found += [(event.type, json.loads(event.data)) for event in some]
        reader.close()
        return found

    async def sweep(self, ahead_ms: int = 0) -> None:
        """What the retention of another machine does, whose clock is that far ahead."""
        retention = Retention(self.db, self.store, lifetimes=LIFETIMES, clock=lambda: self.clock() + ahead_ms)
        assert (await retention.run_once()).failed == []

    async def equip(self, *people: UserId) -> None:
        """Have each of these people be told by one device."""

        async def unit(tx: Transaction) -> None:
            for uid in people:
                await add_device(tx, uid=uid, now=self.clock(), token=f"token {uid}", provider=LANE[0])

        await self.db.write(unit)

    async def newcomers(self, count: int) -> list[UserId]:
        number = self.keys.encrypt_phone("+8613900139000")

        async def unit(tx: Transaction) -> list[Caller]:
            return [await add_caller(tx, now=self.clock(), cipher=number) for _ in range(count)]

        callers = {caller.uid: caller for caller in await self.db.write(unit)}
        self.callers |= callers
        return list(callers)

    async def send(
        self,
        sender: UserId,
        *,
        key: str | None = None,
        data: bytes = b"picture",
        caption: str = "",
        **addressee: object,
    ) -> SentImage:
        """An image to `receiver_uid` or `group_id`."""
        fields = {name: str(value) for name, value in addressee.items()}
        to = read_addressee(fields, ADDRESSEES)
        draft = ImageDraft(to, "opaque", TTL_SECONDS, caption, len(data), read_content(fields))
        with self.store.reserve(len(data)) as room:
            writer = await self.sending.create(room)
            try:
                return await self.sending.finish_image(self.callers[sender], draft, writer, data, key, address=ADDRESS)
            finally:
                await writer.abort()

    async def say(
        self,
        sender: UserId,
        *,
        key: str | None = None,
        text: str = "hello",
        needs_others: bool = True,
        **addressee: object,
    ) -> int:
        draft = replace(read_draft({"kind": "text", "text": text, **addressee}), needs_others=needs_others)
        return (await self.messaging.send(self.callers[sender], draft, key, ADDRESS)).message_id

    async def fetch(self, uid: UserId, image: SentImage) -> None:
        """Take the whole image and say so."""
        await self.reading.acknowledge(uid, image.message_key)

    async def group(self, owner: UserId, *others: UserId) -> int:
        fields = {"name": "friends", "members": list(others), "join": "open"}
        group_id = (await self.groups.create(owner, read_new_group(fields, owner))).group_id
        for other in others:
            await self.enter(other, group_id)
        return group_id

    async def enter(self, uid: UserId, group_id: int) -> None:
        """Come into a group that one was asked into."""
        await self.groups.put_member(uid, group_id, uid, None)

    async def put(self, owner: UserId, group_id: int, other: UserId) -> None:
        """Ask somebody into a group, who comes."""
        await self.groups.put_member(owner, group_id, other, None)
        await self.enter(other, group_id)

    async def room_gid(self, group_id: int) -> str:
        [(room_gid,)] = self.engine.rows("SELECT room_gid FROM `groups` WHERE group_id = ?", group_id)
        return str(room_gid)

    async def leave_all(self, uid: UserId) -> None:
        await membership.leave_all(self.db, uid, self.clock)

    def device_of(self, uid: UserId) -> int:
        [(device_id,)] = self.engine.rows("SELECT device_id FROM devices WHERE uid = ?", uid)
        return int(device_id)

    async def settle(self, row: Claimed, lease: str, reason: str) -> bool:
        """End a row that `claim` gave as dead."""

        async def unit(tx: Transaction) -> bool:
            return await outbox.settle(
                tx, outbox_id=row.outbox_id, lease=lease, state=State.DEAD, attempts=1, reason=reason, now=self.clock()
            )

        return await self.db.write(unit)

    async def claim(self, limit: int, lease: str | None = None) -> list[Claimed]:
        """What one relay would send."""
        lease = lease or os.urandom(16).hex()

        async def unit(tx: Transaction) -> list[Claimed]:
            now = self.clock()
            return await outbox.claim(tx, lane=LANE, now=now, lease=lease, lease_until=now + 60_000, limit=limit)

        return await self.db.write(unit)

    async def push_each(self, device_id: int, count: int) -> None:
        """Rows of the outbox that are due."""

        async def unit(tx: Transaction) -> None:
            for _ in range(count):
                await outbox.insert_for_device(
                    tx,
                    kind=Kind.ACCOUNT_RETRIEVED,
                    message_id=None,
                    device_id=device_id,
                    now=self.clock(),
                    give_up_at=self.clock() + HOUR_MS,
                )

        await self.db.write(unit)

    def members(self, group_id: int) -> dict[int, str]:
        """Who is in a group, as what."""
        return dict(self.engine.rows("SELECT uid, role FROM group_members WHERE group_id = ?", group_id))

    def told(self, uid: int) -> list[str]:
        """The types of a person's events."""
        return [kind for (kind,) in self.engine.rows("SELECT type FROM events WHERE uid = ? ORDER BY event_id", uid)]

    def states(self, message_id: int) -> list[str]:
        """Of a message's deliveries."""
        return [state for (state,) in self.engine.rows("SELECT state FROM deliveries WHERE message_id = ?", message_id)]

    def files(self) -> int:
        return len([path for path in (self.folder / "images").rglob("*") if path.is_file()])

    def state_of(self, message_id: int) -> tuple[int, int | None]:
        """`exist` and `purge_at` of a message."""
        [(exist, purge_at)] = self.engine.rows("SELECT exist, purge_at FROM messages WHERE message_id = ?", message_id)
        return exist, purge_at

    def check(self) -> None:
        """What must hold whatever has raced: logs without gap or repeat, counters that add up, ends that are seen."""
        logs: dict[int, list[int]] = {}
        for uid, event_id in self.engine.rows("SELECT uid, event_id FROM events ORDER BY uid, event_id"):
            logs.setdefault(uid, []).append(event_id)
        for uid, seq in self.engine.rows("SELECT uid, event_seq FROM users"):
            assert logs.get(uid, []) == list(range(1, seq + 1))
        waiting = self.engine.rows(
            "SELECT d.receiver_uid, count(*), sum(m.size) FROM deliveries d JOIN messages m USING (message_id)"
            " WHERE d.state = 'pending' GROUP BY d.receiver_uid ORDER BY d.receiver_uid"
        )
        counted = "SELECT uid, pending_count, pending_bytes FROM users WHERE pending_count != 0 OR pending_bytes != 0"
        assert self.engine.rows(f"{counted} ORDER BY uid") == waiting
        of_it = "SELECT 1 FROM deliveries d WHERE d.message_id = m.message_id AND d.state"
        open_ = f"{of_it} IN ('pending', 'blocked')"
        assert self.engine.rows(f"SELECT 1 FROM messages m WHERE (exist = 1) != EXISTS ({open_})") == []
        kept = f"kind = 'image' AND stored = 1 AND (purge_at IS NULL) != EXISTS ({of_it} = 'pending')"
        assert self.engine.rows(f"SELECT 1 FROM messages m WHERE {kept}") == []


async def at_once(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """What came of each, an error too."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def all_well(calls: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*calls))


def of(kind: type, results: Sequence[object]) -> list[object]:
    """Those of `at_once` that are of this kind."""
    return [result for result in results if isinstance(result, kind)]


@contextmanager
def no_deadlock(town: Town) -> Iterator[None]:
    """Deadlocks are run again and no harm, but what takes its locks in order has none."""
    before = _deadlocks(town)
    yield
    assert _deadlocks(town) == before


def _deadlocks(town: Town) -> int:
    if town.engine.name == "sqlite":
        return 0
    [(_, count)] = town.engine.rows("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(count)


@asynccontextmanager
async def open_town(engine: Engine, folder: Path) -> AsyncIterator[Town]:
    db = await engine.open()
    store = DiskStore(folder / "images", min_free_bytes=0)
    try:
        yield Town(db, engine, store, folder, Clock(), new_key_ring())
    finally:
        store.close()
        await db.close()
