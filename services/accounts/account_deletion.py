# SPDX-License-Identifier: Apache-2.0
"""Deletes accounts: the first commit closes the account, the following ones erase its data.

The first transaction ends every credential and frees the number; the rest is erased in short transactions. If they are
interrupted, retention continues with `finish_all`, also after a crash.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from models import fault
from models.db.database import BATCH_ROWS, Database, DatabaseError, Transaction
from models.db.tables import activations, erasure, messages, users
from models.db.tables.erasure import Rule
from models.keys import KeyRing
from models.phone import phone_hash
from models.user import User, UserId
from services import membership
from services.expiry import BATCH_WAITS, expire

log = logging.getLogger("glimpse.account_deletion")


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class AccountDeletion:
    """Ends accounts. `clock` gives milliseconds."""

    db: Database
    keys: KeyRing
    wake_retention: Callable[[], None]
    clock: Callable[[], int]

    async def leave(self, uid: int) -> bool:
        """End the account; False when all of it was ended before.

        When this returns, no credential of the account is taken and its number, address and name are free. What is
        left of it is gone too, or retention goes on with it. Raises DatabaseError while nothing has changed.
        """

        async def unit(tx: Transaction) -> bool:
            return await users.hold(tx, uid) and await self._close(tx, await users.get(tx, uid))

        closed = await self.db.write(unit)
        fault.point("after_account_closed")
        if closed:
            try:
                await finish(self.db, UserId(uid), self.clock)
            except DatabaseError as error:
                log.warning("an account is closed and not yet erased", extra={"uid": uid, "error": error.code})
            self.wake_retention()
        return closed

    async def dry_run(self, uid: int) -> dict[str, int]:
        """How many rows would be deleted or cleared, by table and column. Raises NotFound."""
        user = await users.get(self.db, uid)
        return {rule.name: await erasure.count(self.db, rule, uid=user.uid) for rule in erasure.RULES}

    async def _close(self, tx: Transaction, user: User) -> bool:
        if not await erasure.close(tx, uid=user.uid, now=self.clock()):
            return False
        if user.phone_cipher is not None:
            hashed = phone_hash(self.keys.decrypt_phone(user.phone_cipher))
            for digest in self.keys.phone_digests(hashed).values():
                await activations.delete_for_phone(tx, phone_digest=digest)
        for rule in erasure.WAYS_IN:
            while await erasure.apply(tx, rule, uid=user.uid, limit=BATCH_ROWS):
                pass
        return True


async def finish_all(db: Database, clock: Callable[[], int]) -> int:
    """Erase what is left of closed accounts, the oldest 200; returns how many are gone.

    A failure does not stop the others. Raises DatabaseError at the end when there was one.
    """
    erased, failure = 0, None
    for uid in await erasure.list_leaving(db, limit=BATCH_ROWS):
        try:
            await finish(db, uid, clock)
            erased += 1
        except DatabaseError as error:
            failure = error
    if failure is not None:
        raise failure
    return erased


async def finish(db: Database, uid: UserId, clock: Callable[[], int]) -> None:
    """Erase what is left of a closed account, at most 200 rows a transaction. May run twice at once."""

    async def expire_some(tx: Transaction) -> int:
        waits = (await messages.list_waiting_for(tx, uid))[:BATCH_WAITS]
        await expire(tx, waits, clock())
        return len(waits)

    async def erase(tx: Transaction) -> bool:
        return await erasure.erase(tx, uid=uid)

    # Rows written while the account was being erased, by its own last requests too, are found by the next round.
    erased = False
    while not erased:
        await membership.leave_all(db, uid, clock)
        while await db.write(expire_some):
            fault.point("after_erasure_step")
        for rule in erasure.RULES:
            if rule is not erasure.MEMBERSHIPS:
                await _apply(db, uid, rule)
        erased = await db.write(erase)


async def _apply(db: Database, uid: UserId, rule: Rule) -> None:
    async def unit(tx: Transaction) -> int:
        return await erasure.apply(tx, rule, uid=uid, limit=BATCH_ROWS)

    while await db.write(unit):
        fault.point("after_erasure_step")
