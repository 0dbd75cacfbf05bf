# SPDX-License-Identifier: Apache-2.0
"""Who is calling: a phone hash and a ukey, or an access token in; a caller out.

One read each; a write only on a ukey's first use or a new day. Who proved it a moment ago is known without a read, to
who asks by `recall`: that they were let in then says nothing of now.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from time import monotonic

from models.access_token import AccessTokens
from models.clock import DAY_MS
from models.db.database import Database, DatabaseError, Reader, Transaction
from models.db.tables import credentials, refresh_tokens, users
from models.db.tables.credentials import Ukey
from models.errors import Unauthenticated
from models.keys import SECRET, KeyRing, secret_digest
from models.phone import is_phone_hash, phone_hash
from models.user import UserId
from services.limits import Limits

FIRST_USE_SECONDS = 1.0
"""The older ukeys should be gone when the first request with the new one is answered; a busy database delays nobody."""
RECALLED_SECONDS = 30
"""Long enough for a client that sends one message after the other; a new day is noted so much later at most."""
MAX_RECALLED = 10_000
"""About 5 MB. Beyond them who proved it longest ago is forgotten."""

log = logging.getLogger("glimpse.authentication")

_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has proved who they are, by the ukey `credential_id` or by an access token of `family`.

    `expires_at` (milliseconds) is that token's end. An account may have no phone.
    """

    uid: UserId
    phone_hash: str | None = field(repr=False)
    credential_id: int | None = None
    family: str | None = field(default=None, repr=False)
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Authentication:
    """Turns credentials into callers. `clock` gives milliseconds, `monotonic` seconds."""

    db: Database
    keys: KeyRing
    access_tokens: AccessTokens
    limits: Limits
    clock: Callable[[], int]
    monotonic: Callable[[], float] = monotonic
    _noting: dict[int, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _proofs: OrderedDict[bytes, tuple[Caller, float]] = field(init=False, default_factory=OrderedDict)

    async def basic(self, phone_hash: str, ukey: str, address: str) -> Caller:
        """The person whose phone and ukey these are; an unknown phone costs the same work as a wrong ukey.

        The right ukey is never refused for what others tried. Raises Unauthenticated, and RateLimited to an
        address that has failed too often.
        """
        known = is_phone_hash(phone_hash)
        if known and SECRET.fullmatch(ukey):
            rows = await credentials.list_for_phone(self.db, self.keys.phone_digest(phone_hash))
            now = self.clock()
            used = _matching(rows, secret_digest(ukey), now)
            if used is not None and used.disabled_at is None:
                await self._note_use(used, rows, now)
                return Caller(used.uid, phone_hash, used.credential_id)
        await self.limits.count_failure(address, phone_hash if known else "")
        raise Unauthenticated

    async def bearer(self, access_token: str) -> Caller:
        """The person whose access token this is, as long as its family lives. Raises Unauthenticated."""
        now = self.clock()
        token = self.access_tokens.read(access_token, now)
        holder = await refresh_tokens.find_holder(self.db, family=token.family, now=now) if token else None
        if token is None or holder is None or holder.uid != token.uid:
            raise Unauthenticated
        cipher = holder.phone_cipher
        hashed = phone_hash(self.keys.decrypt_phone(cipher)) if cipher else None
        return Caller(token.uid, hashed, family=token.family, expires_at=token.expires_at * 1000)

    def remember(self, proof: str, caller: Caller) -> None:
        """Who proved who they are by this text, for `recall`."""
        self._proofs[sha256(proof.encode()).digest()] = caller, self.monotonic() + RECALLED_SECONDS
        if len(self._proofs) > MAX_RECALLED:
            self._proofs.popitem(last=False)

    def recall(self, proof: str) -> Caller | None:
        """Who proved who they are by this text a moment ago. Their credential may have ended since, in any process: it
        is for who asks the database for that, together with all else, before anything is said or done.
        """
        digest = sha256(proof.encode()).digest()
        caller, until = self._proofs.get(digest, (None, 0.0))
        if caller is None:
            return None
        if self.monotonic() >= until or (caller.expires_at is not None and self.clock() >= caller.expires_at):
            del self._proofs[digest]
            return None
        return caller

    def forget(self, proof: str) -> None:
        """This text proves nothing any more, as the database has said."""
        self._proofs.pop(sha256(proof.encode()).digest(), None)

    async def confirm(self, caller: Caller) -> None:
        """Raises Unauthenticated when the credential has ended since it was taken: a body may be long on its way."""
        await check_live(self.db, caller, self.clock())

    async def _note_use(self, used: Ukey, rows: list[Ukey], now: int) -> None:
        """End the ukeys before the newest on its first use, and note once a day that the person was here.

        Neither may fail the request; the first is waited for, but not for long.
        """
        first_use = used is rows[0] and len(rows) > 1
        if not first_use and abs(now - used.seen_at) < DAY_MS:  # further ahead: by a clock that was wrong
            return
        task = self._noting.get(used.credential_id)
        if task is None:
            task = self._noting[used.credential_id] = asyncio.create_task(self._record(used, now))
            task.add_done_callback(lambda _: self._noting.pop(used.credential_id))
        if first_use:
            await asyncio.wait({task}, timeout=FIRST_USE_SECONDS)

    async def _record(self, used: Ukey, now: int) -> None:
        async def unit(tx: Transaction) -> None:
            await users.mark_seen(tx, uid=used.uid, now=now)  # first: no other ukey is issued meanwhile
            newest = await credentials.find_newest(tx, uid=used.uid)
            if newest == used.credential_id:
                await credentials.delete_older(tx, uid=used.uid, credential_id=newest)

        try:
            await self.db.write(unit)
        except DatabaseError:
            log.warning("the use of a ukey could not be recorded", exc_info=True)


async def is_live(reader: Reader, caller: Caller, now: int) -> bool:
    """Whether what let the caller in still would; a token's own end does not count, for who is in already."""
    return await credentials.is_live(
        reader, uid=caller.uid, credential_id=caller.credential_id, family=caller.family, now=now
    )


async def check_live(reader: Reader, caller: Caller, now: int) -> None:
    """Raises Unauthenticated for a caller who is not let in any more."""
    if not await is_live(reader, caller, now):
        raise Unauthenticated


def _matching(rows: list[Ukey], digest: bytes, now: int) -> Ukey | None:
    """The row of this digest that has not expired. Compares in constant time, against nobody's when there is none."""
    found = None
    for row in rows:
        if compare_digest(row.digest, digest) and (row.expires_at is None or row.expires_at > now):
            found = row
    if not rows:
        compare_digest(_NOBODY, digest)
    return found
