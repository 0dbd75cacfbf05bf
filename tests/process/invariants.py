# SPDX-License-Identifier: Apache-2.0
"""What must hold after every crash, whoever died where: read from the files, the database and the push log alone.

What clients were told (I1, I3, I5) needs a server that runs: `check_promises`.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.db.tables import uploads
from services.maintenance.orphans import Orphans
from storage.disk import DiskStore
from storage.keys import is_message_key
from tests.support.engines import database_of
from tests.support.harness import Person, Server

ROWS_WITHOUT_FILE = "SELECT message_key, size, sha256 FROM messages WHERE exist = 1"
KEPT = "SELECT message_key FROM messages WHERE stored = 1"
CONSUMPTIONS = "SELECT data FROM events WHERE type = 'image_consumed'"
CONSUMED = "SELECT message_key FROM deliveries JOIN messages USING (message_id) WHERE deliveries.state = 'consumed'"
UNDELIVERED = "SELECT message_id FROM messages WHERE message_id NOT IN (SELECT message_id FROM deliveries)"
WITHOUT_PUSH = """
    SELECT m.message_id FROM messages m JOIN deliveries d USING (message_id) JOIN devices v ON v.uid = d.receiver_uid
    WHERE v.ended_at IS NULL AND v.registered_at <= m.send_time AND d.state NOT IN ('withheld', 'blocked')
    AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.message_id = m.message_id AND o.device_id = v.device_id)
"""
PUSH_OF_NOTHING = """
    SELECT outbox_id FROM outbox WHERE kind = 'message' AND message_id NOT IN (SELECT message_id FROM messages)
"""
DELIVERED = "SELECT DISTINCT message_id FROM outbox WHERE kind = 'message' AND state = 'delivered'"
MISCOUNTED = """
    SELECT u.uid, u.pending_count, u.pending_bytes, count(m.message_id), coalesce(sum(m.size), 0) FROM users u
    LEFT JOIN deliveries d ON d.receiver_uid = u.uid AND d.state = 'pending'
    LEFT JOIN messages m ON m.message_id = d.message_id GROUP BY u.uid
    HAVING u.pending_count <> count(m.message_id) OR u.pending_bytes <> coalesce(sum(m.size), 0)
"""


@dataclass
class Told:
    """What the clients of one receiver were told: digests of images accepted, and the keys they have acknowledged."""

    accepted: dict[str, bytes] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)

    def accept(self, message_key: str, image: bytes) -> None:
        self.accepted[message_key] = hashlib.sha256(image).digest()


def rows(data_dir: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the database, changing nothing, whether a server runs or has died."""
    return database_of(data_dir).rows(question, *values)


def consumptions(data_dir: Path, *keys: str) -> int:
    """How often these images were consumed."""
    return sum(key in keys for key, _ in _consumed(data_dir))


def _consumed(data_dir: Path) -> list[tuple[str, int]]:
    """Image and receiver of each consumption that a sender was told."""
    told = [json.loads(data) for (data,) in rows(data_dir, CONSUMPTIONS)]
    return [(data["message_key"], data["receiver_uid"]) for data in told]


def end_pauses(data_dir: Path) -> None:
    """Let the time pass that pushes wait for after a failure."""
    database_of(data_dir).execute("UPDATE outbox SET next_at = 0 WHERE state = 'due'")


def pushes_due(data_dir: Path) -> int:
    """Notifications that no provider has yet."""
    [(count,)] = rows(data_dir, "SELECT count(*) FROM outbox WHERE state = 'due'")
    return int(count)


def image_files(data_dir: Path) -> dict[str, Path]:
    """Every file in the store, by name."""
    return {path.name: path for path in (data_dir / "images").rglob("*") if path.is_file()}


def orphans(data_dir: Path) -> set[str]:
    """Files that no row keeps."""
    return image_files(data_dir).keys() - {key for (key,) in rows(data_dir, KEPT)}


def logged_pushes(data_dir: Path) -> list[dict[str, Any]]:
    """The payloads that the `log` provider was given, in order."""
    log = data_dir / "outbox.log"
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
    return [line["payload"] for line in lines if "payload" in line]


def check_database(data_dir: Path, *, in_flight: int = 0, pushed: Collection[int] | None = None) -> None:
    """I2, I4, I6 to I10 of a server that is down or idle; raises AssertionError with everything that is broken.

    `in_flight` uploads were under way at the crash; `pushed` are the messages that the provider has, by default those
    in the `log` provider's file.
    """
    if pushed is None:
        pushed = {payload["message_id"] for payload in logged_pushes(data_dir) if "message_id" in payload}
    broken = [*_broken(data_dir, pushed)]
    left = orphans(data_dir)
    if len(left) > in_flight:
        broken.append(f"I9: {len(left)} files without a row, {in_flight} uploads in flight: {left}")
    assert not broken, "\n".join(broken)


def _broken(data_dir: Path, pushed: Collection[int]) -> Iterator[str]:
    files = image_files(data_dir)
    for key, size, sha256 in rows(data_dir, ROWS_WITHOUT_FILE):
        content = files[key].read_bytes() if key in files else b""
        if len(content) != size or hashlib.sha256(content).digest() != sha256:
            yield f"I2: {key} is not the file that its row tells of"
    consumed = rows(data_dir, CONSUMED)
    told = Counter(_consumed(data_dir))
    yield from (f"I4: consumed twice: {found}" for found, times in told.items() if times > 1)
    untold = {key for (key,) in consumed} - {key for key, _ in told}
    yield from (f"I4: consumed and its sender not told: {found}" for found in untold)
    yield from (f"I6: for nobody: {found}" for found in rows(data_dir, UNDELIVERED))
    yield from (f"I6: no push for {found}" for found in rows(data_dir, WITHOUT_PUSH))
    yield from (f"I6: push of nothing: {found}" for found in rows(data_dir, PUSH_OF_NOTHING))
    for (message_id,) in rows(data_dir, DELIVERED):
        if message_id not in pushed:
            yield f"I7: {message_id} is settled as delivered, and the provider has it not"
    yield from (f"I8: miscounted: {found}" for found in rows(data_dir, MISCOUNTED))
    yield from (f"I10: {found}" for found in database_of(data_dir).damages())


def check_promises(receiver: Person, told: Told) -> None:
    """I1, I3 and I5 over HTTP: of this receiver's images those accepted and not acknowledged, whole, and no other."""
    listed = set(inbox(receiver))
    waiting = told.accepted.keys() - told.acknowledged
    assert listed == waiting, f"I1 lost {waiting - listed}, I3 or I5 still there {listed - waiting}"
    for key in waiting:
        fetched = receiver.get(key, params={"ack": "manual"})
        assert fetched.status_code == 200, f"I1: {key} answers {fetched.text}"
        assert hashlib.sha256(fetched.content).digest() == told.accepted[key], f"I1: {key} has other bytes"
    for key in told.acknowledged:
        assert receiver.get(key, params={"ack": "manual"}).status_code == 410, f"I5: {key} comes back"


def inbox(receiver: Person) -> list[str]:
    """The keys of all images that wait for this person, oldest first."""
    keys: list[str] = []
    after = 0
    while True:
        page = receiver.request("GET", "/v1/inbox", params={"after": after, "limit": 200}).json()
        keys += [item["message_key"] for item in page["items"]]
        if page["next"] is None:
            return keys
        after = page["next"]


def end_well(server: Server, receiver: Person, told: Told, *, pushed: Collection[int] | None = None) -> None:
    """What crashes have left is put right by now, or by the sweep; the server is stopped. `pushed`: as for
    `check_database`.
    """
    check_promises(receiver, told)
    assert server.stop() == 0
    asyncio.run(sweep_orphans(server.data_dir))
    check_database(server.data_dir, pushed=pushed)


async def sweep_orphans(data_dir: Path) -> None:
    """What retention does about files without a row, with no age to wait for. Leaves nothing but what rows keep."""
    db = await database_of(data_dir).open()
    store = DiskStore(data_dir / "images")
    clock = iter(range(1000))
    sweeping = Orphans(db, store, orphan_seconds=0, monotonic=lambda: next(clock))
    try:
        await sweeping.sweep()
        await sweeping.sweep()
        await store.remove_strays(written_before=time.time())
        files = await store.uploads.old_ids(0)
        await store.uploads.remove_many(set(files) - await uploads.list_open_ids(db, files))
    finally:
        store.close()
        await db.close()
    left = [name for name in orphans(data_dir) if is_message_key(name)]
    assert not left, f"I9: the sweep leaves {left}"
