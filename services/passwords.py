# SPDX-License-Identifier: Apache-2.0
"""Accounts with a password: how one begins, logs in, and changes what it logs in with.

Every check of a password is counted as a failure before it is computed and forgiven when it was right, so that
guesses side by side are counted too. An unknown person, a wrong password and a disabled account cost the same work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from unicodedata import normalize

from models.db import devices, passwords, refresh_tokens, users
from models.db.database import Database, Transaction, UniqueViolation
from models.db.passwords import Password
from models.errors import AppError, Conflict, Forbidden, InvalidField, Taken, Unauthenticated, Unavailable
from models.keys import new_secret
from models.login import MAX_LOGIN, MIN_LOGIN, Name, NameKind, parse_name
from models.user import UserId
from services.authentication import Caller, is_live
from services.device_tokens import DeviceTokens
from services.hashing import Hashing
from services.limits import Limits
from services.registration import (
    DEVICE_TYPES,
    MAX_NICKNAME,
    MAX_TOKEN,
    MAX_TOKEN_OF,
    Problems,
    read_nickname,
    read_one_of,
    read_text,
)
from services.tokens import Grant, TokenPair, Tokens

MIN_PASSWORD_BYTES = 8
MAX_PASSWORD_BYTES = 1024
NOT_THEIRS = "The password is wrong."
CHANGED_MEANWHILE = "The password was changed meanwhile."

_FORMS = {
    NameKind.EMAIL: "must be an email address",
    NameKind.LOGIN: f"must be {MIN_LOGIN} to {MAX_LOGIN} visible characters without @",
}


@dataclass(frozen=True, slots=True)
class Signup:
    """A person who wants an account with a password. `device_token` is for the default push provider."""

    name: Name
    password: bytes = field(repr=False)
    nickname: str
    device_token: str | None = field(repr=False)
    device_type: str


class Passwords:
    """What people do with passwords. `clock` gives milliseconds."""

    def __init__(
        self,
        *,
        db: Database,
        hashing: Hashing,
        tokens: Tokens,
        limits: Limits,
        default_provider: str,
        device_tokens: DeviceTokens,
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._hashing = hashing
        self._tokens = tokens
        self._limits = limits
        self._default_provider = default_provider
        self._device_tokens = device_tokens
        self._clock = clock

    async def sign_up(
        self, fields: Mapping[str, Any], *, min_password_bytes: int = MIN_PASSWORD_BYTES
    ) -> tuple[UserId, TokenPair]:
        """A new account without a phone, and its first session.

        Raises InvalidField, EndpointNotAllowed, Taken, Unavailable.
        """
        signup = self._read_signup(fields, min_password_bytes)
        if signup.device_token is not None:
            token = await self._device_tokens.check(self._default_provider, signup.device_token, field="device_token")
            signup = replace(signup, device_token=token)
        if await passwords.find(self._db, signup.name) is not None:
            raise Taken
        password_hash = await self._hashing.hash(signup.password)

        async def unit(tx: Transaction) -> Grant | None:
            now = self._clock()
            try:
                uid = await passwords.insert_user(
                    tx, name=signup.name, nickname=signup.nickname, password_hash=password_hash, now=now
                )
            except UniqueViolation:
                return None
            await self._add_device(tx, uid, signup, now)
            return await self._tokens.start(tx, uid)

        grant = await self._db.write(unit)
        if grant is None:
            raise Taken
        return grant.uid, self._tokens.sign(grant)

    async def log_in(
        self, fields: Mapping[str, Any], address: str, new_token: Callable[[], str] = new_secret
    ) -> tuple[UserId, TokenPair]:
        """A session for who knows the password; `new_token` makes what it is held by, if not a refresh token.

        Raises InvalidField, Unauthenticated, RateLimited to an address that has failed too often, Unavailable.
        """
        kind, text = _read_name_text(fields)
        password = _read_password("password", fields.get("password"))
        name = parse_name(kind, text)
        found = await passwords.find(self._db, name) if name else None
        known = found if found is not None and found.disabled_at is None else None
        stored = known.password_hash if known else None
        subject = _subject(name.kind, name.text) if name else ""
        if not await self._check(stored, password, address, subject) or known is None or stored is None:
            raise Unauthenticated
        fresh = await self._hashing.hash(password) if self._hashing.is_outdated(stored) else stored

        async def unit(tx: Transaction) -> Grant | None:
            current = await passwords.find_of(tx, uid=known.uid)
            if current != known:
                return None
            if fresh != stored:
                await passwords.set_hash(tx, uid=known.uid, password_hash=fresh)
            await users.mark_seen(tx, uid=known.uid, now=self._clock())
            return await self._tokens.start(tx, known.uid, new_token)

        grant = await self._db.write(unit)
        if grant is None:
            raise Unauthenticated
        return grant.uid, self._tokens.sign(grant)

    async def change(self, caller: Caller, fields: Mapping[str, Any], address: str) -> None:
        """Set the password and end every session but the caller's; the current one is needed where there is one.

        Raises InvalidField, Forbidden when the current password is wrong, RateLimited, Conflict, Unauthenticated.
        """
        password = _read_password("password", fields.get("password"), MIN_PASSWORD_BYTES)
        before = await self._of(caller)
        if before.password_hash is not None:
            current = _read_password("current_password", fields.get("current_password"))
            await self._prove(before, current, address)
        password_hash = await self._hashing.hash(password)

        async def unit(tx: Transaction) -> AppError | None:
            refusal = await self._changed_meanwhile(tx, caller, before)
            if refusal is None:
                await passwords.set_hash(tx, uid=caller.uid, password_hash=password_hash)
                await refresh_tokens.end_all(tx, uid=caller.uid, except_family=caller.family)
            return refusal

        _raise(await self._db.write(unit))

    async def add_name(self, caller: Caller, fields: Mapping[str, Any], address: str) -> None:
        """Give the account an email or login, and the password where it has none; where it has one, it must be right.

        Raises InvalidField, Taken, Forbidden when the password is wrong, RateLimited, Conflict, Unauthenticated.
        """
        problems: Problems = []
        name, _ = _read_name(fields, problems)
        if name is None:
            raise InvalidField(fields=problems)
        before = await self._of(caller)
        first = before.password_hash is None
        password = _read_password("password", fields.get("password"), MIN_PASSWORD_BYTES if first else 1)
        password_hash = None
        if first:
            password_hash = await self._hashing.hash(password)
        else:
            await self._prove(before, password, address)

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
            return None

        _raise(await self._db.write(unit))

    async def _of(self, caller: Caller) -> Password:
        found = await passwords.find_of(self._db, uid=caller.uid)
        if found is None:
            raise Unauthenticated
        return found

    async def _prove(self, before: Password, password: bytes, address: str) -> None:
        """Raises Forbidden when this is not the person's password."""
        if not await self._check(before.password_hash, password, address, _subject("uid", str(before.uid))):
            raise Forbidden(NOT_THEIRS)

    async def _check(self, stored: str | None, password: bytes, address: str, subject: str) -> bool:
        """Whether the password is right. Raises RateLimited before it is looked at, and Unavailable."""
        self._limits.count_failure(address, subject)
        try:
            right = await self._hashing.verify(stored, password)
        except Unavailable:
            self._limits.forgive_failure(address, subject)
            raise
        if right:
            self._limits.forgive_failure(address, subject)
        return right

    async def _changed_meanwhile(self, tx: Transaction, caller: Caller, before: Password) -> AppError | None:
        if not await is_live(tx, caller, self._clock()):
            return Unauthenticated()
        return None if await passwords.find_of(tx, uid=caller.uid) == before else Conflict(CHANGED_MEANWHILE)

    async def _add_device(self, tx: Transaction, uid: UserId, signup: Signup, now: int) -> None:
        if signup.device_token is not None:
            await devices.register(
                tx,
                uid=uid,
                provider=self._default_provider,
                app="",
                token=signup.device_token,
                device_type=signup.device_type,
                now=now,
            )

    def _read_signup(self, fields: Mapping[str, Any], min_password_bytes: int) -> Signup:
        """Raises InvalidField with every field that is wrong."""
        problems: Problems = []
        name, default_nickname = _read_name(fields, problems)
        password = _password("password", fields.get("password"), min_password_bytes, problems)
        nickname = read_nickname(fields.get("nickname") or default_nickname, problems) if name else ""
        limit = MAX_TOKEN_OF.get(self._default_provider, MAX_TOKEN)
        device_token = read_text("device_token", fields.get("device_token"), limit, problems)
        device_type = read_one_of("device_type", fields.get("device_type"), DEVICE_TYPES, "", problems)
        if name is None or problems:
            raise InvalidField(fields=problems)
        return Signup(name, password, nickname, device_token, device_type)


def _read_name_text(fields: Mapping[str, Any]) -> tuple[NameKind, str]:
    """The one name that is given, as it was typed. Raises InvalidField."""
    given = [kind for kind in NameKind if fields.get(kind) is not None]
    if len(given) != 1:
        raise InvalidField(fields=[("email", "give either email or login")])
    kind, text = given[0], fields[given[0]]
    if not isinstance(text, str):
        raise InvalidField(fields=[(kind, _FORMS[kind])])
    return kind, text


def _read_name(fields: Mapping[str, Any], problems: Problems) -> tuple[Name | None, str]:
    """The name, and the nickname of who gives none; what is wrong is added to `problems`."""
    try:
        kind, text = _read_name_text(fields)
    except InvalidField as error:
        problems.extend(error.fields)
        return None, ""
    name = parse_name(kind, text)
    if name is None:
        problems.append((kind, _FORMS[kind]))
    return name, text.strip().partition("@")[0][:MAX_NICKNAME]


def _read_password(field_name: str, value: object, min_bytes: int = 1) -> bytes:
    """Raises InvalidField."""
    problems: Problems = []
    password = _password(field_name, value, min_bytes, problems)
    if problems:
        raise InvalidField(fields=problems)
    return password


def _password(field_name: str, value: object, min_bytes: int, problems: Problems) -> bytes:
    """The password's bytes, composed (NFC) so that every keyboard's are the same."""
    text = value if isinstance(value, str) else ""
    if not min_bytes <= len(text.encode()) <= MAX_PASSWORD_BYTES:
        problems.append((field_name, f"must be text of {min_bytes} to {MAX_PASSWORD_BYTES} bytes in UTF-8"))
    return normalize("NFC", text).encode()


def _subject(kind: str, text: str) -> str:
    """What failures are counted by: as long as a phone hash, whatever was typed."""
    return sha256(f"{kind}:{text}".encode()).hexdigest()


def _raise(refusal: AppError | None) -> None:
    if refusal is not None:
        raise refusal
