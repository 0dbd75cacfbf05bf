# SPDX-License-Identifier: Apache-2.0
"""Sessions: a family of refresh tokens, each good for one exchange, and the access tokens that go with it.

The rule of an exchange is decided in one transaction. What a reuse must leave behind, a family that has ended, is
written and returned as a value; the refusal is raised after the commit.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from models.access_token import AccessTokens
from models.clock import DAY_MS, MINUTE_MS
from models.db.database import Database, Transaction
from models.db.tables import credentials, devices, refresh_tokens, users
from models.db.tables.refresh_tokens import RefreshToken
from models.errors import AppError, Forbidden, TokenReused, Unauthenticated
from models.keys import SECRET, new_secret, secret_digest
from models.user import UserId
from services.authentication import Caller, is_live

REFRESH_MS = 30 * DAY_MS
"""Each exchange begins it anew, so that only who stays away for a month has to log in again."""
REPEAT_MS = 1 * MINUTE_MS
"""How long a client whose reply was lost may exchange its token again; a thief who comes later is noticed."""
MAX_FAMILIES = 50
"""Sessions of a person. More than anybody has devices; bounds the rows that one account can make by logging in."""
ONLY_KEYS = "Only the ukey opens a session; a session is prolonged by its refresh token."
NO_SESSION = "A ukey has no session to end."

log = logging.getLogger("glimpse.tokens")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client gets. `expires_at` (milliseconds) is the access token's."""

    access_token: str = field(repr=False)
    expires_at: int
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """A refresh token that a transaction has written and nobody has seen yet."""

    uid: UserId
    family: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Tokens:
    """Opens, prolongs and ends sessions. `clock` gives milliseconds."""

    db: Database
    access_tokens: AccessTokens
    clock: Callable[[], int]

    async def start(self, tx: Transaction, uid: UserId, new_token: Callable[[], str] = new_secret) -> Grant:
        """Open a session in a caller's transaction; the person's oldest ends where they have too many."""
        grant = await self._grant(tx, uid, secrets.token_hex(16), new_token)
        await refresh_tokens.end_oldest(tx, uid=uid, kept=MAX_FAMILIES)
        return grant

    def sign(self, grant: Grant) -> TokenPair:
        """The pair to hand over once the transaction of the grant is committed."""
        access_token, expires_at = self.access_tokens.sign(grant.uid, grant.family, self.clock())
        return TokenPair(access_token, expires_at, grant.refresh_token)

    async def open(self, caller: Caller) -> TokenPair:
        """A session for who came with a ukey. Raises Forbidden to who came with a token, Unauthenticated."""
        if caller.credential_id is None:
            raise Forbidden(ONLY_KEYS)

        async def unit(tx: Transaction) -> Grant:
            now = self.clock()
            # First: nothing ends the caller's credential from here on.
            await users.mark_seen(tx, uid=caller.uid, now=now)
            if not await is_live(tx, caller, now):
                raise Unauthenticated
            return await self.start(tx, caller.uid)

        return self.sign(await self.db.write(unit))

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Exchange the token for a new pair; again within a minute, as long as the new one was not used.

        Raises Unauthenticated, and TokenReused when the token was used before, which ends its family: one of the two
        who had it is a thief, and nobody can tell which.
        """
        if not SECRET.fullmatch(refresh_token):
            raise Unauthenticated
        digest = secret_digest(refresh_token)

        async def unit(tx: Transaction) -> Grant | AppError:
            token = await refresh_tokens.find(tx, digest=digest)
            now = self.clock()
            if token is None or token.expires_at <= now or token.disabled_at is not None:
                return Unauthenticated()
            # Held: who ends the person's sessions waits for the successor, or this waits and finds the token gone.
            if not await users.hold(tx, token.uid):
                return Unauthenticated()
            return await self._exchange(tx, token, digest, now)

        answer = await self.db.write(unit)
        if isinstance(answer, AppError):
            raise answer
        return self.sign(answer)

    async def close(self, caller: Caller) -> None:
        """End the caller's session at once. Raises Forbidden to who came with a ukey."""
        family = caller.family
        if family is None:
            raise Forbidden(NO_SESSION)

        async def unit(tx: Transaction) -> None:
            await refresh_tokens.end_family(tx, uid=caller.uid, family=family)

        await self.db.write(unit)

    async def _exchange(self, tx: Transaction, token: RefreshToken, digest: bytes, now: int) -> Grant | AppError:
        if not await refresh_tokens.mark_used(tx, token_id=token.token_id, now=now):
            refusal = await self._take_back(tx, digest, now)
            if refusal is not None:
                return refusal
        if abs(now - token.seen_at) >= DAY_MS:  # ahead: it was seen by a clock that was wrong
            await users.mark_seen(tx, uid=token.uid, now=now)
        return await self._grant(tx, token.uid, token.family)

    async def _take_back(self, tx: Transaction, digest: bytes, now: int) -> AppError | None:
        """End the unused successor of a token that was exchanged a minute ago at most, so that it gets another.

        What is returned is the refusal.
        """
        token = await refresh_tokens.find(tx, digest=digest)
        if token is None or token.used_at is None:
            return Unauthenticated()
        successor = await refresh_tokens.find_unused_successor(tx, token)
        if successor is None or token.used_at <= now - REPEAT_MS:
            await refresh_tokens.end_family(tx, uid=token.uid, family=token.family)
            log.info("a refresh token was used again", extra={"uid": token.uid})
            return TokenReused()
        await refresh_tokens.remove(tx, token_id=successor)
        return None

    async def _grant(
        self, tx: Transaction, uid: UserId, family: str, new_token: Callable[[], str] = new_secret
    ) -> Grant:
        now, token = self.clock(), new_token()
        await refresh_tokens.insert_token(
            tx, uid=uid, family=family, digest=secret_digest(token), now=now, expires_at=now + REFRESH_MS
        )
        return Grant(uid, family, token)


async def end_others(tx: Transaction, *, uid: UserId, credential_id: int | None, family: str | None, now: int) -> None:
    """End every ukey, session and device of the person but this ukey and this family of tokens.

    No device says which credential is on it, so that the one in the person's hand registers itself again.
    """
    await credentials.delete_others(tx, uid=uid, credential_id=credential_id or 0)
    await refresh_tokens.end_all(tx, uid=uid, except_family=family)
    await devices.end_all(tx, uid=uid, now=now)
