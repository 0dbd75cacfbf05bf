# SPDX-License-Identifier: Apache-2.0
"""Accounts: how one begins, what it says of its person, and its ukey."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.clock import DAY_MS
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import credentials, passwords, users
from models.errors import Forbidden, NotFound, Unauthenticated
from models.keys import KeyRing, new_secret, secret_digest
from models.login import NameKind, parse_name
from models.phone import phone_hash
from models.user import User, UserId
from services.accounts.account_issuing import AccountIssuing, Issued, Started
from services.accounts.activation import Activation
from services.accounts.registration import Newcomer, read_newcomer
from services.accounts.sessions import end_others
from services.authentication import Caller, is_live
from services.device_tokens import DeviceTokens
from services.fields import raise_if_any, read_name, unknown
from services.idempotency import Request
from services.limits import Limits

NO_PHONE = "An account without a phone has no ukey."
FLAGS = ("discoverable", "read_receipts")
PROFILE = ("nickname", *FLAGS)


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Accounts:
    """What people do with their own account. `clock` gives milliseconds.

    `activation_required` is whether a new number must be proved; one that has an account always must.
    `providers` are the push providers that a device may be registered with.
    """

    db: Database
    keys: KeyRing
    limits: Limits
    account_issuing: AccountIssuing
    activation: Activation
    activation_required: bool
    default_provider: str
    providers: Collection[str]
    device_tokens: DeviceTokens
    clock: Callable[[], int]

    async def register(
        self, fields: Mapping[str, Any], key: str | None, address: str | None = None
    ) -> Issued | Started:
        """A new account, or an activation where the number must be proved first. `address` is who asks.

        Raises InvalidField, InvalidPhone, EndpointNotAllowed, RegionNotAllowed, IdempotencyConflict, RateLimited,
        SmsLimited, Unavailable.
        """
        newcomer = read_newcomer(fields, default_provider=self.default_provider, providers=self.providers)
        await self.limits.check_phone("register", phone_hash(newcomer.phone.e164), address=address or "")
        if newcomer.cid is not None:
            cid = await self.device_tokens.check(newcomer.push_provider, newcomer.cid, field="cid")
            newcomer = replace(newcomer, cid=cid)
        request = self.account_issuing.request("register", "", key, newcomer.canonical())
        if not self.activation_required:
            answer = await self._create(newcomer, request)
            if answer is not None:
                return answer
        return await self.activation.start(newcomer, request, address)

    async def me(self, uid: UserId) -> dict[str, Any]:
        """A person's own account."""
        return self._profile(await users.get(self.db, uid))

    async def patch_me(self, uid: UserId, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change what is named and leave the rest; the account as it is then. Raises InvalidField."""
        changes = _read_changes(fields)

        async def unit(tx: Transaction) -> User:
            await users.lock(tx, uid)
            await users.set_profile(
                tx,
                uid=uid,
                nickname=changes.get("nickname"),
                discoverable=changes.get("discoverable"),
                read_receipts=changes.get("read_receipts"),
            )
            return await users.get(tx, uid)

        return self._profile(await write_retrying(self.db, unit))

    async def renew_ukey(self, caller: Caller, *, end_other_sessions: bool = False) -> str:
        """A new ukey. The one that asked lives until the new one is used, at most a day; every other ends now.

        With `end_other_sessions` so does every session but the one that asked, and every device.

        A repeat after a lost reply needs no Idempotency-Key to be safe: the ukey that did not arrive is such another.
        Who came with a token asks for the oldest: the one that is in use, since a first use ends those before.
        Raises Forbidden to an account without a phone, and Unauthenticated when the credential that asked has ended
        meanwhile: it must not end its successor.
        """
        if caller.phone_hash is None:
            raise Forbidden(NO_PHONE)
        ukey = new_secret()

        async def unit(tx: Transaction) -> None:
            now = self.clock()
            # First: nothing ends the caller's credential from here on.
            await users.mark_seen(tx, uid=caller.uid, now=now)
            if not await is_live(tx, caller, now):
                raise Unauthenticated
            kept = caller.credential_id
            if end_other_sessions:
                await end_others(tx, uid=caller.uid, credential_id=kept, family=caller.family, now=now)
            else:
                kept = kept or await credentials.find_oldest(tx, uid=caller.uid, now=now)
                await credentials.delete_others(tx, uid=caller.uid, credential_id=kept or 0)
            await credentials.expire_all(tx, uid=caller.uid, expires_at=now + DAY_MS)
            await credentials.insert_ukey(tx, uid=caller.uid, digest=secret_digest(ukey), now=now)

        await write_retrying(self.db, unit)
        return ukey

    async def get_user(self, uid: int) -> dict[str, Any]:
        """What anybody may know of a person. Raises NotFound."""
        user = await users.get(self.db, uid)
        return {"uid": user.uid, "nickname": user.nickname}

    async def find_by_name(self, kind: NameKind, text: str) -> UserId:
        """Whose email or login this is. Raises NotFound, also for an account that is shut out."""
        name = parse_name(kind, text)
        found = await passwords.find(self.db, name) if name else None
        if found is None or found.disabled_at is not None:
            raise NotFound
        return found.uid

    async def _create(self, newcomer: Newcomer, request: Request | None) -> Issued | Started | None:
        """A new account, or a repeat's answer; None when the number is somebody's."""
        hashed = phone_hash(newcomer.phone.e164)

        async def unit(tx: Transaction) -> Issued | Started | None:
            earlier = await self.account_issuing.repeat(tx, request)
            if earlier is not None:
                return earlier
            digest = self.keys.phone_digest(hashed)  # here, by the key ring of this moment
            if await users.find_uid_by_phone(tx, digest) is not None:
                return None
            issued = await self.account_issuing.create(tx, newcomer)
            await self.account_issuing.remember(tx, request, issued)
            return issued

        return await write_retrying(self.db, unit)

    def _profile(self, user: User) -> dict[str, Any]:
        e164 = self.keys.decrypt_phone(user.phone_cipher) if user.phone_cipher else None
        return {
            "uid": user.uid,
            "nickname": user.nickname,
            "region_num": user.region_num,
            "phone_hash": phone_hash(e164) if e164 else None,
            "email": user.email,
            "login": user.login,
            "discoverable": user.discoverable,
            "read_receipts": user.read_receipts,
            "reg_time": user.reg_time,
        }


def _read_changes(fields: Mapping[str, Any]) -> dict[str, Any]:
    problems = unknown(fields, PROFILE)
    changes: dict[str, Any] = {}
    if "nickname" in fields:
        changes["nickname"] = read_name("nickname", fields["nickname"], problems)
    for name in fields.keys() & FLAGS:
        changes[name] = fields[name]
        if not isinstance(fields[name], bool):
            problems.append((name, "must be true or false"))
    raise_if_any(problems)
    return changes
