# SPDX-License-Identifier: Apache-2.0
"""Accounts with a password: how one begins, logs in, and changes what it logs in with.

Every check of a password is counted as a failure before it is computed and forgiven when it was right, so that
guesses side by side are counted too. An unknown person, a wrong password and a disabled account cost the same work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from models.db.database import Database, Transaction, UniqueViolation, write_retrying
from models.db.tables import devices, passwords, refresh_tokens, users
from models.db.tables.passwords import Password
from models.errors import AppError, Conflict, Forbidden, ProofRequired, Taken, Unauthenticated
from models.keys import new_secret
from models.login import Name, parse_name
from models.user import UserId
from services.accounts.login_fields import (
    MIN_PASSWORD_BYTES,
    Signup,
    read_login_name,
    read_name_text,
    read_password,
    read_signup,
)
from services.accounts.password_hashing import Hashing
from services.accounts.sessions import Grant, TokenPair, Tokens, end_others
from services.authentication import Caller, is_live
from services.device_tokens import DeviceTokens
from services.fields import read_flag
from services.limits import Limits

NOT_THEIRS = "The password is wrong."
CHANGED_MEANWHILE = "The password was changed meanwhile."
RACES = 2
"""A login whose password was rehashed or changed meanwhile is checked once more. Each check costs an argon2 hash."""


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Passwords:
    """What people do with passwords. `clock` gives milliseconds."""

    db: Database
    hashing: Hashing
    tokens: Tokens
    limits: Limits
    default_provider: str
    device_tokens: DeviceTokens
    clock: Callable[[], int]

    async def sign_up(
        self, fields: Mapping[str, Any], address: str, *, min_password_bytes: int = MIN_PASSWORD_BYTES
    ) -> tuple[UserId, TokenPair]:
        """A new account without a phone, and its first session.

        Raises InvalidField, EndpointNotAllowed, Taken, Unavailable.
        """
        signup = read_signup(fields, min_password_bytes=min_password_bytes)
        if signup.device_token is not None:
            token = await self.device_tokens.check(self.default_provider, signup.device_token, field="device_token")
            signup = replace(signup, device_token=token)
        if await passwords.find(self.db, signup.name) is not None:
            raise Taken
        password_hash = await self.hashing.hash(signup.password, address)

        async def unit(tx: Transaction) -> Grant | None:
            now = self.clock()
            try:
                uid = await passwords.insert_user(
                    tx, name=signup.name, nickname=signup.nickname, password_hash=password_hash, now=now
                )
            except UniqueViolation:
                return None
            await self._add_device(tx, uid, signup, now)
            return await self.tokens.start(tx, uid)

        grant = await write_retrying(self.db, unit)
        if grant is None:
            raise Taken
        return grant.uid, self.tokens.sign(grant)

    async def log_in(
        self, fields: Mapping[str, Any], address: str, new_token: Callable[[], str] = new_secret
    ) -> tuple[UserId, TokenPair]:
        """A session for who knows the password; `new_token` makes what it is held by, if not a refresh token.

        Raises InvalidField, Unauthenticated, RateLimited to an address that has failed too often, Unavailable.
        """
        kind, text = read_name_text(fields)
        password = read_password("password", fields.get("password"))
        name = parse_name(kind, text)
        for _ in range(RACES):
            grant = await self._open(name, password, address, new_token)
            if grant is not None:
                return grant.uid, self.tokens.sign(grant)
        raise Unauthenticated

    async def prove(self, caller: Caller, password: object, address: str) -> None:
        """That a person asks who holds a ukey or knows the password: what a token alone must not be enough for.

        Raises ProofRequired, InvalidField, Forbidden when the password is wrong, RateLimited, Unavailable.
        """
        shown = None if password is None else read_password("password", password)
        if caller.credential_id is not None:
            return
        if shown is None:
            raise ProofRequired
        before = await self._of(caller)
        if before.password_hash is None:
            raise ProofRequired
        await self._prove(before, address, shown)

    async def change(self, caller: Caller, fields: Mapping[str, Any], address: str) -> None:
        """Set the password and end every session but the caller's; the current one is needed where there is one.

        Who repeats it after a lost reply has shown that they know the current one, which is the new one by now.
        The first one needs the ukey. Raises InvalidField, ProofRequired, Forbidden when the current password is
        wrong, RateLimited, Conflict, Unauthenticated.
        """
        password = read_password("password", fields.get("password"), MIN_PASSWORD_BYTES)
        before = await self._of(caller)
        _check_first(before, caller)
        if before.password_hash is not None:
            current = read_password("current_password", fields.get("current_password"))
            await self._prove(before, address, current, password)
        password_hash = await self.hashing.hash(password, address)

        async def unit(tx: Transaction) -> AppError | None:
            refusal = await self._changed_meanwhile(tx, caller, before)
            if refusal is None:
                await passwords.set_hash(tx, uid=caller.uid, password_hash=password_hash)
                await refresh_tokens.end_all(tx, uid=caller.uid, except_family=caller.family)
            return refusal

        _raise(await self.db.write(unit))

    async def add_name(self, caller: Caller, fields: Mapping[str, Any], address: str) -> None:
        """Give the account an email or login, and the password where it has none; where it has one, it must be right.

        The first one needs the ukey. With `end_other_sessions` every other ukey, session and device ends. Raises
        InvalidField, ProofRequired, Taken, Forbidden when the password is wrong, RateLimited, Conflict,
        Unauthenticated.
        """
        name, end_other_sessions = read_login_name(fields), read_flag(fields, "end_other_sessions")
        before = await self._of(caller)
        _check_first(before, caller)
        first = before.password_hash is None
        password = read_password("password", fields.get("password"), MIN_PASSWORD_BYTES if first else 1)
        password_hash = None
        if first:
            password_hash = await self.hashing.hash(password, address)
        else:
            await self._prove(before, address, password)

        async def unit(tx: Transaction) -> AppError | None:
            refusal = await self._changed_meanwhile(tx, caller, before)
            if refusal is not None:
                return refusal
            try:
                await passwords.set_name(tx, uid=caller.uid, name=name)
            except UniqueViolation:
                return Taken()
            if password_hash is not None:
                await passwords.set_hash(tx, uid=caller.uid, password_hash=password_hash)
            if end_other_sessions:
                kept, now = caller.credential_id, self.clock()
                await end_others(tx, uid=caller.uid, credential_id=kept, family=caller.family, now=now)
            return None

        _raise(await self.db.write(unit))

    async def _open(
        self, name: Name | None, password: bytes, address: str, new_token: Callable[[], str]
    ) -> Grant | None:
        """None when what was checked has changed meanwhile, if only because another login made the hash anew.

        Raises Unauthenticated, RateLimited, Unavailable.
        """
        found = await passwords.find(self.db, name) if name else None
        known = found if found is not None and found.disabled_at is None else None
        stored = known.password_hash if known else None
        subject = _subject(name.kind, name.text) if name else ""
        if not await self._check(stored, password, address, subject) or known is None or stored is None:
            raise Unauthenticated
        fresh = await self.hashing.hash(password, address) if self.hashing.is_outdated(stored) else stored

        async def unit(tx: Transaction) -> Grant | None:
            if await passwords.hold(tx, uid=known.uid) != known:
                return None
            if fresh != stored:
                await passwords.set_hash(tx, uid=known.uid, password_hash=fresh)
            await users.mark_seen(tx, uid=known.uid, now=self.clock())
            return await self.tokens.start(tx, known.uid, new_token)

        return await self.db.write(unit)

    async def _of(self, caller: Caller) -> Password:
        found = await passwords.find_of(self.db, uid=caller.uid)
        if found is None:
            raise Unauthenticated
        return found

    async def _prove(self, before: Password, address: str, *candidates: bytes) -> None:
        """Raises Forbidden when none of these is the person's password; each is counted for itself."""
        subject = _subject("uid", str(before.uid))
        for password in candidates:
            if await self._check(before.password_hash, password, address, subject):
                return
        raise Forbidden(NOT_THEIRS)

    async def _check(self, stored: str | None, password: bytes, address: str, subject: str) -> bool:
        """Whether the password is right. Raises RateLimited before it is looked at, and Unavailable."""
        with self.hashing.place(address):  # who finds none has not failed
            failure = await self.limits.count_failure(address, subject)
            right = await self.hashing.verify(stored, password)
        if right:
            await self.limits.forgive(failure)
        return right

    async def _changed_meanwhile(self, tx: Transaction, caller: Caller, before: Password) -> AppError | None:
        # First: nothing ends the caller's credential from here on.
        current = await passwords.hold(tx, uid=caller.uid)
        if not await is_live(tx, caller, self.clock()):
            return Unauthenticated()
        return None if current == before else Conflict(CHANGED_MEANWHILE)

    async def _add_device(self, tx: Transaction, uid: UserId, signup: Signup, now: int) -> None:
        if signup.device_token is not None:
            await devices.register(
                tx,
                uid=uid,
                provider=self.default_provider,
                app="",
                token=signup.device_token,
                device_type=signup.device_type,
                now=now,
            )


def _check_first(before: Password, caller: Caller) -> None:
    """Who has an account's token for a quarter of an hour must not come to own it. Raises ProofRequired."""
    if before.password_hash is None and caller.credential_id is None:
        raise ProofRequired


def _subject(kind: str, text: str) -> str:
    """What failures are counted by: as long as a phone hash, whatever was typed."""
    return sha256(f"{kind}:{text}".encode()).hexdigest()


def _raise(refusal: AppError | None) -> None:
    if refusal is not None:
        raise refusal
