# SPDX-License-Identifier: Apache-2.0
"""People, images and time, over a real database and a real store in one directory."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from models.db.database import Database, Transaction
from models.db.tables import deliveries, events, messages
from models.keys import new_key_ring
from models.message import MessageId
from models.user import UserId
from services.authentication import Caller
from services.maintenance.fsck import Fsck, Report
from services.maintenance.retention import Lifetimes, Retention
from services.reading import Reading
from storage.disk import DiskStore
from storage.keys import message_key, path_of
from tests.support.clock import Clock
from tests.support.engines import Engine
from tests.support.people import add_caller, add_person

HOUR = 3600
DAY = 24 * HOUR
TTL_SECONDS = 30 * DAY
ORPHAN_SECONDS = 6 * HOUR
LIFETIMES = Lifetimes(
    interval_seconds=3600,
    orphan_seconds=ORPHAN_SECONDS,
    grace_seconds=600,
    messages_retention_days=365,
    events_retention_days=7,
    uploads_expire_hours=24,
    admin_audit_days=730,
)


@dataclass(frozen=True)
class Image:
    message_id: MessageId
    key: str
    data: bytes


@dataclass
class World:
    folder: Path
    database: Engine
    db: Database
    store: DiskStore
    clock: Clock = field(default_factory=Clock)

    def retention(self, db: Database | None = None, store: DiskStore | None = None) -> Retention:
        return Retention(
            db or self.db,
            store or self.store,
            lifetimes=LIFETIMES,
            clock=self.clock,
            monotonic=self.clock.seconds,
        )

    def reading(self, retention: Retention | None = None) -> Reading:
        wake = retention.wake if retention else lambda: None
        return Reading(
            db=self.db, store=self.store, keys=new_key_ring(), wake_retention=wake, clock=self.clock, ages=self.clock
        )

    async def fsck(self, *, repair: bool = False, db: Database | None = None) -> Report:
        fsck = Fsck(db or self.db, self.store, clock=self.clock, orphan_seconds=ORPHAN_SECONDS, repair=repair)
        return await fsck.run()

    async def person(self) -> UserId:
        return await self.db.write(partial(add_person, now=self.clock()))

    async def caller(self) -> Caller:
        return await self.db.write(partial(add_caller, now=self.clock()))

    async def file(self, data: bytes = b"picture") -> str:
        """A stored file of which no row speaks; its key."""
        key = message_key(1, 2, 3, os.urandom(16))
        with self.store.reserve(len(data)) as room:
            writer = await self.store.create(room)
            await writer.commit(key, data)
        return key

    async def record(self, key: str, data: bytes, sender: UserId, *receivers: UserId) -> MessageId:
        """The rows of an image, as sending writes them."""

        async def unit(tx: Transaction) -> MessageId:
            now = self.clock()
            message_id = await messages.insert_image(
                tx,
                message_key=key,
                sender_uid=sender,
                receiver_uid=receivers[0],
                send_time=now,
                filetype="jpeg",
                size=len(data),
                sha256=hashlib.sha256(data).digest(),
                caption="",
                expires_at=now + TTL_SECONDS * 1000,
            )
            for uid in receivers:
                await deliveries.insert_one(tx, message_id=message_id, receiver_uid=uid, sender_uid=sender)
                said: dict[str, object] = {"message_id": message_id}
                await events.append(
                    tx, uid=uid, kind="image", at=now, data=said, pending_count=1, pending_bytes=len(data)
                )
            return message_id

        return await self.db.write(unit)

    async def send(self, sender: UserId, *receivers: UserId, data: bytes = b"picture") -> Image:
        key = await self.file(data)
        return Image(await self.record(key, data, sender, *receivers), key, data)

    async def fetch(self, uid: UserId, image: Image, *, grace_seconds: int = 60) -> None:
        """A whole download that consumes."""
        reading = self.reading()
        opened = await reading.open_image(await reading.find_image(uid, image.key))
        await reading.finish_image(opened, grace_seconds * 1000)
        reading.close_image(opened)

    def file_of(self, key: str) -> Path:
        return self.folder / "images" / path_of(key)

    def has_file(self, image: Image) -> bool:
        return self.file_of(image.key).exists()

    def age(self, key: str, seconds: float) -> None:
        """Make a file look as if it was written that long ago."""
        written = self.file_of(key).stat().st_mtime - seconds
        os.utime(self.file_of(key), (written, written))

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.database.rows(sql, *values)

    def execute(self, sql: str, *values: object) -> None:
        self.database.execute(sql, *values)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def counters(self, uid: UserId) -> tuple[int, int]:
        """What the counters of this person's inbox say."""
        [(count, size)] = self.rows("SELECT pending_count, pending_bytes FROM users WHERE uid = ?", uid)
        return count, size

    def state(self, image: Image, uid: UserId) -> str:
        [(state,)] = self.rows(
            "SELECT state FROM deliveries WHERE message_id = ? AND receiver_uid = ?", image.message_id, uid
        )
        return str(state)


@asynccontextmanager
async def new_world(folder: Path, database: Engine) -> AsyncIterator[World]:
    """Over the images and the database of this data directory."""
    db = await database.open()
    store = DiskStore(folder / "images", min_free_bytes=0)
    yield World(folder, database, db, store)
    store.close()
    await db.close()
