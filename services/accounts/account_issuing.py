# SPDX-License-Identifier: Apache-2.0
"""How somebody becomes an account, gets theirs back, or takes over a number that was given up.

All of it is part of a caller's transaction: whether the number was proved is decided there.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from models.clock import DAY_MS, HOUR_MS, MINUTE_MS
from models.db.database import Transaction
from models.db.tables import (
    credentials,
    devices,
    events,
    messages,
    outbox,
    passwords,
    phone_index,
    refresh_tokens,
    users,
)
from models.db.tables.devices import DeviceId
from models.keys import KeyRing, new_secret, secret_digest
from models.phone import phone_hash
from models.user import User, UserId
from services import idempotency
from services.accounts.registration import Newcomer
from services.expiry import expire
from services.idempotency import Request

REPEAT_MS = 10 * MINUTE_MS
"""A repeat gets a fresh ukey, so whoever learns the Idempotency-Key gets in: it is good no longer than a code."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A ukey for somebody who has not seen it yet. `retrieved`: the account was there before."""

    uid: UserId
    ukey: str = field(repr=False)
    phone_hash: str = field(repr=False)
    credential_id: int
    retrieved: bool


@dataclass(frozen=True, slots=True)
class Started:
    """An activation that waits for its code. Times are in milliseconds."""

    activation_id: str
    expires_at: int
    resend_at: int


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class AccountIssuing:
    """What registration and activation do to accounts. `clock` gives milliseconds."""

    keys: KeyRing
    recycled_after_days: int
    push_give_up_hours: int
    clock: Callable[[], int]
    ages: Callable[[], int]
    """The time by which a number is given up, which a clock that jumps does not move."""

    def request(self, operation: str, scope: str, key: str | None, body: str) -> Request | None:
        """The request as it is remembered; None without a key."""
        return idempotency.request(operation, scope, key, lambda: self.keys.request_hmac(operation, body))

    async def create(self, tx: Transaction, newcomer: Newcomer) -> Issued:
        """A new account. Raises UniqueViolation when the number is somebody's; the transaction must then end."""
        now, number = self.clock(), newcomer.phone
        uid = await users.insert_user(
            tx,
            nickname=newcomer.nickname,
            region_num=number.region_num,
            phone_cipher=self.keys.encrypt_phone(number.e164),
            terms_version=newcomer.terms_version,
            now=now,
        )
        hashed = phone_hash(number.e164)
        await phone_index.insert_digests(tx, uid=uid, digests=self.keys.phone_digests(hashed))
        await self._add_device(tx, uid, newcomer, now)
        return await self._issue(tx, uid, hashed, retrieved=False)

    async def admit(self, tx: Transaction, newcomer: Newcomer) -> Issued | None:
        """The account of a number that was just proved: theirs again, or a new one. None when it is disabled.

        Raises UniqueViolation as `create` does.
        """
        user = await users.hold_by_phone(tx, self.keys.phone_digest(phone_hash(newcomer.phone.e164)))
        if user is not None and user.seen_at < self.ages() - self.recycled_after_days * DAY_MS:
            await self._release(tx, user)
            user = None
        if user is None:
            return await self.create(tx, newcomer)
        if user.disabled_at is not None:
            return None
        return await self._retrieve(tx, user, newcomer)

    async def repeat(self, tx: Transaction, request: Request | None) -> Issued | Started | None:
        """What to answer to a repeat; None when this is not a repeat, or when the ukey of then has been ended since.

        A ukey is never kept, so a fresh one takes the place of the one that may not have arrived.
        Raises IdempotencyConflict.
        """
        reply = await idempotency.find_reply(tx, request, self.clock())
        if request is None or reply is None:
            return None
        if "activation_id" in reply:
            return Started(**reply)
        issued = await self._issue_again(tx, **reply)
        if issued is None:
            await idempotency.forget(tx, request)
        return issued

    async def remember(self, tx: Transaction, request: Request | None, answer: Issued | Started) -> None:
        """Keep what was answered, but for the ukey. Raises UniqueViolation when a repeat was quicker."""
        uid, reply = None, asdict(answer)
        if isinstance(answer, Issued):
            uid = answer.uid
            reply = {"uid": uid, "credential_id": answer.credential_id, "retrieved": answer.retrieved}
        await idempotency.remember(tx, request, reply, uid=uid, now=self.clock(), keep_ms=REPEAT_MS)

    async def _issue(self, tx: Transaction, uid: UserId, hashed: str, *, retrieved: bool) -> Issued:
        ukey = new_secret()
        credential_id = await credentials.insert_ukey(tx, uid=uid, digest=secret_digest(ukey), now=self.clock())
        return Issued(uid, ukey, hashed, credential_id, retrieved)

    async def _issue_again(self, tx: Transaction, uid: int, credential_id: int, *, retrieved: bool) -> Issued | None:
        ukey = new_secret()
        replaced = await credentials.replace_ukey(
            tx, uid=uid, credential_id=credential_id, digest=secret_digest(ukey), now=self.clock()
        )
        user = await users.find(tx, uid) if replaced else None
        if user is None or user.phone_cipher is None:
            return None
        hashed = phone_hash(self.keys.decrypt_phone(user.phone_cipher))
        return Issued(user.uid, ukey, hashed, credential_id, retrieved)

    async def _retrieve(self, tx: Transaction, user: User, newcomer: Newcomer) -> Issued:
        """Hand the account over: what let others in ends, their password too, and their devices are told so once."""
        now, uid = self.clock(), user.uid
        await credentials.delete_all(tx, uid=uid)
        await refresh_tokens.end_all(tx, uid=uid)
        await passwords.set_hash(tx, uid=uid, password_hash=None)
        kept = await self._add_device(tx, uid, newcomer, now)
        for device_id in await devices.end_all(tx, uid=uid, except_device_id=kept, now=now):
            await outbox.insert_for_device(
                tx,
                kind=outbox.Kind.ACCOUNT_RETRIEVED,
                message_id=None,
                device_id=device_id,
                now=now,
                give_up_at=now + self.push_give_up_hours * HOUR_MS,
            )
        await events.append(tx, uid=uid, kind="account_retrieved", at=now, data={})
        await users.set_terms(tx, uid=uid, terms_version=newcomer.terms_version)
        await users.mark_seen(tx, uid=uid, now=now)
        return await self._issue(tx, uid, phone_hash(newcomer.phone.e164), retrieved=True)

    async def _release(self, tx: Transaction, user: User) -> None:
        """Part an account from a number that its person has given up.

        Who can log in with a password keeps the rest. Of others nobody can speak for the account any more, and what
        waits for it expires now: nobody could fetch it.
        """
        now, uid = self.clock(), user.uid
        await phone_index.delete_digests(tx, uid=uid)
        await users.delete_phone(tx, uid=uid)
        await credentials.delete_all(tx, uid=uid)
        if user.can_log_in:
            return
        await refresh_tokens.end_all(tx, uid=uid)
        await devices.end_all(tx, uid=uid, now=now)
        await expire(tx, await messages.list_waiting_for(tx, uid), now)

    async def _add_device(self, tx: Transaction, uid: UserId, newcomer: Newcomer, now: int) -> DeviceId | None:
        if newcomer.cid is None:
            return None
        return await devices.register(
            tx,
            uid=uid,
            provider=newcomer.push_provider,
            app="",
            token=newcomer.cid,
            device_type=newcomer.device_type,
            now=now,
        )
