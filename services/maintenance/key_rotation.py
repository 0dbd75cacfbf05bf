# SPDX-License-Identifier: Apache-2.0
"""Rotating keys beside running servers: each step leaves every number readable and everybody able to get in.

A new key comes into the ring and every server confirms it; then it comes into use, and every server confirms that; then
numbers are reencrypted with it; then the one before it leaves. The ring's file and the rows record how far that is, so
that the next run continues one that was cut off anywhere.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from models import key_rotation
from models.access_token import LEEWAY_SECONDS, LIFETIME_MS
from models.db.database import BATCH_ROWS, Database, Transaction, UniqueViolation
from models.db.tables import heartbeats, phone_index, reencryption
from models.db.tables.reencryption import Wanted
from models.key_lock import held
from models.key_rotation import NUMBERS, Kind
from models.keys import ID_BYTES, KeyRing, KeyRingError, read_key_ring, replace_key_ring
from models.phone import phone_hash
from models.user import UserId
from services.leader import DEAD_SECONDS, FailureDetector

PAUSE_SECONDS = 0.05  # as long as a server at most waits between two tries to write
CONFIRM_SECONDS = 60.0
"""A server looks at the ring twice a second, and one that has died counts for DEAD_SECONDS: past both, something is
wrong that an operator must see."""
LOOK_SECONDS = 0.05  # several steps wait for every server's word, one after the other
WAIT_SECONDS = 1.0  # between two reports of how much longer old tokens are good
TOKENS_MS = LIFETIME_MS + LEEWAY_SECONDS * 1000
"""How long the last token of the key before is taken."""

NOT_CONFIRMED = "{count} servers have not taken the changed key ring in {seconds:.0f} s (see the log); run this again."
DOES_NOT_OPEN = "{count} stored numbers do not open, {name} is the first: no key was dropped."

log = logging.getLogger("glimpse.rotation")

Say = Callable[[str, int, int], None]


@dataclass(slots=True)
class Rotated:
    """What a run has done, in rows. `resumed`: it only continued a rotation that an earlier run had begun."""

    kinds: tuple[Kind, ...]
    resumed: bool
    numbers: int = 0
    activations: int = 0
    dropped_digests: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do, and how many people's numbers it would go through."""

    kinds: tuple[Kind, ...]
    resumed: bool
    numbers: int


class Rotation:
    """Rotates the keys of one ring's file. `clock` gives milliseconds.

    `server_runs` tells whether a server has the data directory; a shared database tells of all of its servers itself.
    `say` is told the step, what is done of it, of how much. With `at_once` the tokens of the key before end now and
    not by themselves.
    """

    def __init__(
        self,
        *,
        db: Database,
        path: Path,
        server_runs: Callable[[], bool],
        clock: Callable[[], int],
        say: Say,
        at_once: bool = False,
        confirm_seconds: float = CONFIRM_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._path = path
        self._server_runs = server_runs
        self._clock = clock
        self._say = say
        self._at_once = at_once
        self._confirm_seconds = confirm_seconds
        self._monotonic = monotonic
        self._failures = FailureDetector(DEAD_SECONDS, monotonic)

    async def dry_run(self, wanted: Collection[Kind]) -> Planned:
        """What `run` would do. Changes nothing. Raises KeyRingError, DatabaseError, OSError."""
        ring = read_key_ring(self._path)
        left = await self._under_way(ring)
        kinds = _ordered(left or wanted)
        numbers = await reencryption.count_people(self._db) if NUMBERS & set(kinds) else 0
        return Planned(kinds, bool(left), numbers)

    async def run(self, wanted: Collection[Kind]) -> Rotated:
        """Rotate what is wanted, or finish the rotation that was begun before, whatever is wanted.

        When this returns, the keys before are in no file, no row and no server's use. When it raises, all keys that
        anything needs are there, and another run goes on. Raises KeyRingError, DatabaseError, OSError.
        """
        with held(self._path, to_change=True):
            ring, done = await self._begin(wanted)
            ring = await self._bring_into_use(ring)
            if NUMBERS & set(done.kinds):
                await self._reencrypt_numbers(ring, done)
        if Kind.TOKENS in done.kinds:
            await self._end_tokens()
        return done

    async def _under_way(self, ring: KeyRing) -> set[Kind]:
        left = key_rotation.under_way(ring)
        if await phone_index.has_before(self._db, version=ring.pepper) and len(ring.peppers) == 1:
            left.add(Kind.PEPPER)
        return left

    async def _begin(self, wanted: Collection[Kind]) -> tuple[KeyRing, Rotated]:
        ring = read_key_ring(self._path)
        left = await self._under_way(ring)
        if not left:
            ring = self._change(key_rotation.begun(ring, wanted))
        await self._confirmed(ring)
        return ring, Rotated(_ordered(left or wanted), bool(left))

    async def _bring_into_use(self, ring: KeyRing) -> KeyRing:
        """Let every server encrypt and sign with the newest keys, which all of them know by now."""
        used = key_rotation.sealing(ring)
        if (used.data_key, used.token_key) != (ring.data_key, ring.token_key):
            ring = self._change(used)
        await self._confirmed(ring)
        if len(ring.token_keys) > 1 and not ring.token_since:
            ring = self._change(key_rotation.signing(ring, self._clock()))
        return ring

    async def _reencrypt_numbers(self, ring: KeyRing, done: Rotated) -> None:
        """Bring every stored number under the newest key and pepper, and drop those before."""
        await self._reencrypt_people(ring, done)
        if ring.pepper != max(ring.peppers):
            ring = self._change(key_rotation.finding(ring))
        await self._confirmed(ring)
        await self._reencrypt_activations(ring, done)
        prefix = _prefix(ring)
        wanted = Wanted(prefix, min(ring.peppers), ring.pepper)
        left = await reencryption.count_due(self._db, wanted)
        left += await reencryption.count_activations_due(self._db, prefix=prefix)
        if left:
            raise KeyRingError(f"{left} numbers were stored under a key from before meanwhile: run this again.")
        if key_rotation.under_way(ring) & NUMBERS:
            ring = self._change(key_rotation.numbers_reencrypted(ring))
        await self._confirmed(ring)
        await self._drop_digests(ring, done)

    async def _reencrypt_people(self, ring: KeyRing, done: Rotated) -> None:
        wanted = Wanted(_prefix(ring), ring.pepper, max(ring.peppers))
        total, after, undecryptable = await reencryption.count_due(self._db, wanted), 0, _Undecryptable()
        while uids := await reencryption.list_due(self._db, wanted, after=after, limit=BATCH_ROWS):

            async def unit(tx: Transaction, uids: list[UserId] = uids) -> _Undecryptable:
                return await _reencrypt(tx, ring, uids)

            undecryptable += await self._db.write(unit)
            after = uids[-1]
            done.numbers += len(uids)
            self._say("numbers", done.numbers, max(total, done.numbers))
            await asyncio.sleep(PAUSE_SECONDS)
        undecryptable.check()

    async def _reencrypt_activations(self, ring: KeyRing, done: Rotated) -> None:
        total, after, undecryptable = await reencryption.count_activations(self._db), "", _Undecryptable()
        while True:

            async def unit(tx: Transaction, after: str = after) -> tuple[str, int, _Undecryptable]:
                return await _reencrypt_some_activations(tx, ring, after)

            after, count, more = await self._db.write(unit)
            if not after:
                break
            undecryptable += more
            done.activations += count
            self._say("activations", done.activations, max(total, done.activations))
            await asyncio.sleep(PAUSE_SECONDS)
        undecryptable.check()

    async def _drop_digests(self, ring: KeyRing, done: Rotated) -> None:
        async def unit(tx: Transaction) -> int:
            return await phone_index.delete_before(tx, version=ring.pepper, limit=BATCH_ROWS)

        while count := await self._db.write(unit):
            done.dropped_digests += count
            self._say("old digests", done.dropped_digests, done.dropped_digests)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _end_tokens(self) -> None:
        """Wait until every token of the previous key has expired, and drop that key."""
        while (left := self._tokens_left_ms()) > 0:
            self._say("seconds until old tokens end", (TOKENS_MS - left) // 1000, TOKENS_MS // 1000)
            await asyncio.sleep(min(WAIT_SECONDS, left / 1000))
        with held(self._path, to_change=True):
            ring = read_key_ring(self._path)
            if Kind.TOKENS in key_rotation.under_way(ring):
                ring = self._change(key_rotation.tokens_ended(ring, at_once=self._at_once))
            await self._confirmed(ring)

    def _tokens_left_ms(self) -> int:
        ring = read_key_ring(self._path)
        if self._at_once or Kind.TOKENS not in key_rotation.under_way(ring):
            return 0
        return ring.token_since + TOKENS_MS - self._clock()

    def _change(self, ring: KeyRing) -> KeyRing:
        replace_key_ring(self._path, ring)
        log.info("the key ring is changed", extra={"generation": ring.generation})
        return ring

    async def _confirmed(self, ring: KeyRing) -> None:
        """Wait until every running server has adopted this ring. Raises KeyRingError when one does not in time."""
        until = self._monotonic() + self._confirm_seconds
        while behind := await self._count_behind(ring):
            if self._monotonic() > until:
                raise KeyRingError(NOT_CONFIRMED.format(count=behind, seconds=self._confirm_seconds))
            self._say("waiting for the servers", 0, 0)
            await asyncio.sleep(LOOK_SECONDS)

    async def _count_behind(self, ring: KeyRing) -> int:
        found = await heartbeats.list_all(self._db)
        if self._db.shared:
            dead = self._failures.of({server.server_id: server.heartbeats for server in found})
            return sum(server.key_generation != ring.generation for server in found if server.server_id not in dead)
        return int(self._server_runs() and [server.key_generation for server in found] != [ring.generation])


@dataclass(slots=True)
class _Undecryptable:
    """Numbers that no key of the ring decrypts: how many, and a description of the first."""

    count: int = 0
    name: str = ""

    def __add__(self, other: "_Undecryptable") -> "_Undecryptable":
        return _Undecryptable(self.count + other.count, self.name or other.name)

    def check(self) -> None:
        """Raises KeyRingError when there are any."""
        if self.count:
            raise KeyRingError(DOES_NOT_OPEN.format(count=self.count, name=self.name))


async def _reencrypt(tx: Transaction, ring: KeyRing, uids: Collection[UserId]) -> _Undecryptable:
    """Encrypt these people's numbers with the key in use, and add the digest under the newest pepper."""
    undecryptable = _Undecryptable()
    for uid, before in await reencryption.read_ciphers(tx, uids):
        try:
            e164 = ring.decrypt_phone(before)
        except KeyRingError:
            undecryptable += _Undecryptable(1, f"that of person {uid}")
            continue
        if before[:ID_BYTES] != _prefix(ring):
            await reencryption.set_cipher(tx, uid=uid, before=before, cipher=ring.encrypt_phone(e164))
        await _index(tx, ring, uid, phone_hash(e164))
    return undecryptable


async def _index(tx: Transaction, ring: KeyRing, uid: UserId, hashed: str) -> None:
    newest = max(ring.peppers)
    if newest == ring.pepper:
        return
    digest = ring.phone_digests(hashed)[newest]
    try:
        await phone_index.insert_beside(tx, uid=uid, version=newest, digest=digest, source=ring.pepper)
    except UniqueViolation:
        return  # whoever registered since the pepper was added has this row


async def _reencrypt_some_activations(tx: Transaction, ring: KeyRing, after: str) -> tuple[str, int, _Undecryptable]:
    """Reencrypt a batch. Returns the last id ("" at the end), how many were changed, and what did not decrypt."""
    rows = await reencryption.list_activations(tx, after=after, limit=BATCH_ROWS)
    count, undecryptable = 0, _Undecryptable()
    for name, before, found_by in rows:
        try:
            e164 = ring.decrypt_phone(before)
        except KeyRingError:
            undecryptable += _Undecryptable(1, "that of an activation")
            continue
        digest = ring.phone_digest(phone_hash(e164)).digest
        if before[:ID_BYTES] != _prefix(ring) or digest != found_by:
            await reencryption.set_activation(tx, activation_id=name, cipher=ring.encrypt_phone(e164), digest=digest)
            count += 1
    return rows[-1][0] if rows else "", count, undecryptable


def _prefix(ring: KeyRing) -> bytes:
    return ring.data_key.to_bytes(ID_BYTES, "big")


def _ordered(kinds: Collection[Kind]) -> tuple[Kind, ...]:
    return tuple(kind for kind in Kind if kind in kinds)
