# SPDX-License-Identifier: Apache-2.0
"""Sessions of clients that know no refreshing: one id from a login, which is shown with every call.

It is kept like a refresh token, in a family of its own, so that it ends with everything that ends sessions. Its form
is a UUID's (RFC 9562, version 4: 122 random bits), which no refresh token has: neither passes for the other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from models.clock import DAY_MS
from models.db.database import Database, Transaction
from models.db.tables import refresh_tokens, users
from models.db.tables.refresh_tokens import RefreshToken
from models.errors import Unauthenticated
from models.keys import secret_digest
from services.accounts.sessions import REFRESH_MS
from services.authentication import Caller

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_session_id() -> str:
    """For `Passwords.log_in`: a session id in place of a refresh token."""
    return str(uuid4())


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class SessionIds:
    """Turns session ids into callers. `clock` gives milliseconds."""

    db: Database
    clock: Callable[[], int]

    async def caller(self, session_id: str) -> Caller:
        """The person whose session this is, however its letters are written; it ends 30 days after its last use.

        Raises Unauthenticated.
        """
        folded = session_id.lower()
        token = await refresh_tokens.find(self.db, digest=secret_digest(folded)) if _FORM.fullmatch(folded) else None
        now = self.clock()
        if token is None or token.expires_at <= now or token.disabled_at is not None:
            raise Unauthenticated
        if token.expires_at <= now + REFRESH_MS - DAY_MS:
            await self._prolong(token, now)
        return Caller(token.uid, None, family=token.family)

    async def _prolong(self, token: RefreshToken, now: int) -> None:
        """Once a day, and with it that the person was here."""

        async def unit(tx: Transaction) -> None:
            await users.mark_seen(tx, uid=token.uid, now=now)
            await refresh_tokens.prolong(tx, token_id=token.token_id, expires_at=now + REFRESH_MS)

        await self.db.write(unit)
