# SPDX-License-Identifier: Apache-2.0
"""Proving a number by a code that went to it.

The code is sent after the commit and only its HMAC is kept. A guess is counted before it is compared, in the
transaction that compares it: refusals that must leave a trace are returned by the unit and raised afterwards.
"""

import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hmac import compare_digest
from math import ceil
from typing import Any

from models.clock import MINUTE_MS
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import activations
from models.db.tables.activations import Pending
from models.errors import (
    ActivationGone,
    AppError,
    CodeIncorrect,
    Forbidden,
    InvalidField,
    RateLimited,
    RegionNotAllowed,
    SmsLimited,
)
from models.keys import KeyRing
from models.phone import Phone, country_of, from_e164, phone_hash
from push.sms.base import SmsMessage
from push.sms.queue import Place, SmsQueue
from services.accounts.account_issuing import AccountIssuing, Issued, Started
from services.accounts.registration import Newcomer
from services.accounts.sms_budgets import SmsBudgets
from services.idempotency import Request
from services.limits import Limits

LIFETIME_MS = 10 * MINUTE_MS
"""Long enough for an SMS that a carrier delays, short enough that five guesses are all that a code has to bear."""
TRIES = 5
"""Five guesses at six digits are right once in 200,000 activations; fewer would lock out who mistypes."""
RESEND_AFTER_MS = (1 * MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS)
"""The wait after the first code, the second and the third: an SMS often arrives late, and each one costs money."""
SPACING_MS, SPACED = 10 * MINUTE_MS, 3
"""No other activation begins while so many codes went to the number in so long: that would be a way round the waits."""
DISABLED = "The account of this number is disabled."

_ID = re.compile(r"[0-9a-f]{32}")
_CODE = re.compile(r"[0-9]{4,10}")


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Activation:
    """Starts activations, sends their codes, and takes the right code once. `clock` gives milliseconds.

    `test_numbers` (E.164 to code) get no SMS and have no budget. `regions` are the calling codes or ISO 3166 countries
    that codes are sent to; none stands for all.
    """

    db: Database
    keys: KeyRing
    account_issuing: AccountIssuing
    limits: Limits
    sms: SmsQueue
    budgets: SmsBudgets
    regions: Collection[str]
    test_numbers: Mapping[str, str]
    wake_relay: Callable[[], None]
    clock: Callable[[], int]

    async def start(self, newcomer: Newcomer, request: Request | None, address: str | None = None) -> Issued | Started:
        """An activation whose code is on its way, the same for a known number and a new one; or a repeat's answer.

        `address` is who asks. Raises RegionNotAllowed, SmsLimited when too many codes went out, RateLimited,
        Unavailable, IdempotencyConflict.
        """
        e164 = newcomer.phone.e164
        self._check_region(newcomer.phone)
        if e164 in self.test_numbers:
            await self.limits.check_phone("test_number", phone_hash(e164))
        activation_id, code = secrets.token_hex(16), self._new_code(e164)

        async def unit(tx: Transaction) -> Issued | Started:
            earlier = await self.account_issuing.repeat(tx, request)
            if earlier is not None:
                return earlier
            pending = self._pending(activation_id, newcomer, code)
            await self._spend(tx, e164, address)
            await self._check_spacing(tx, e164)
            await activations.insert_one(tx, pending)
            started = Started(activation_id, pending.expires_at, pending.resend_at)
            await self.account_issuing.remember(tx, request, started)
            return started

        with self._place(e164) as place:
            answer = await write_retrying(self.db, unit)
            if isinstance(answer, Started) and answer.activation_id == activation_id:
                _send(place, e164, code)
        return answer

    async def resend(self, activation_id: str, address: str | None = None) -> Started:
        """Send a new code; the tries are not reset. `address` is who asks.

        Raises ActivationGone, RateLimited before it is time, SmsLimited when too many codes went out.
        """
        pending = await activations.find(self.db, activation_id=activation_id) if _ID.fullmatch(activation_id) else None
        if pending is None:
            raise ActivationGone
        e164 = self.keys.decrypt_phone(pending.phone_cipher)
        code = self._new_code(e164)

        async def unit(tx: Transaction) -> Started:
            now = self.clock()
            current = await activations.find(tx, activation_id=activation_id)
            if current is None or not _is_open(current, now):
                raise ActivationGone
            _check_wait(current.resend_at - now)
            await self._spend(tx, e164, address)
            resend_at = _resend_at(current, now)
            code_hmac = self.keys.code_hmac(activation_id, e164, code)
            if not await activations.set_code(tx, current, code_hmac=code_hmac, resend_at=resend_at, now=now):
                raise RateLimited(retry_after=RESEND_AFTER_MS[0] // 1000)
            return Started(activation_id, current.expires_at, resend_at)

        with self._place(e164) as place:
            started = await write_retrying(self.db, unit)
            _send(place, e164, code)
        return started

    async def confirm(self, activation_id: str, fields: Mapping[str, Any], key: str | None) -> Issued:
        """The account of the number that the code proves; a repeat with the same key gets a fresh ukey.

        Raises InvalidField, CodeIncorrect with `attempts_left`, ActivationGone, IdempotencyConflict, and Forbidden
        for a disabled account.
        """
        code = fields.get("code")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise InvalidField(fields=[("code", "must be the digits of the code")])
        if not _ID.fullmatch(activation_id):
            raise ActivationGone
        request = self.account_issuing.request("confirm", activation_id, key, f"{activation_id} {code}")

        async def unit(tx: Transaction) -> Issued | AppError:
            earlier = await self.account_issuing.repeat(tx, request)
            if isinstance(earlier, Issued):
                return earlier
            return await self._take_code(tx, activation_id, code, request)

        answer = await write_retrying(self.db, unit)
        if isinstance(answer, AppError):
            raise answer
        if answer.retrieved:
            self.wake_relay()
        return answer

    async def _take_code(
        self, tx: Transaction, activation_id: str, code: str, request: Request | None
    ) -> Issued | AppError:
        now = self.clock()
        pending = await activations.spend_try(tx, activation_id=activation_id, now=now)
        if pending is None:
            return ActivationGone()
        e164 = self.keys.decrypt_phone(pending.phone_cipher)
        if not compare_digest(pending.code_hmac, self.keys.code_hmac(activation_id, e164, code)):
            return CodeIncorrect(extra={"attempts_left": pending.attempts_left})
        await activations.mark_used(tx, activation_id=activation_id, now=now)
        issued = await self.account_issuing.admit(tx, _newcomer(pending, e164))
        if issued is None:
            return Forbidden(DISABLED)
        await self.account_issuing.remember(tx, request, issued)
        return issued

    def _pending(self, activation_id: str, newcomer: Newcomer, code: str) -> Pending:
        now, e164 = self.clock(), newcomer.phone.e164
        return Pending(
            activation_id=activation_id,
            phone_digest=self.keys.phone_digest(phone_hash(e164)).digest,
            phone_cipher=self.keys.encrypt_phone(e164),
            nickname=newcomer.nickname,
            cid=newcomer.cid,
            push_provider=newcomer.push_provider,
            device_type=newcomer.device_type,
            terms_version=newcomer.terms_version,
            code_hmac=self.keys.code_hmac(activation_id, e164, code),
            attempts_left=TRIES,
            sends=1,
            resend_at=now + RESEND_AFTER_MS[0],
            created_at=now,
            expires_at=now + LIFETIME_MS,
            used_at=None,
        )

    def _check_region(self, number: Phone) -> None:
        if not self.regions or number.e164 in self.test_numbers:
            return
        if number.region_num not in self.regions and country_of(number.e164) not in self.regions:
            raise RegionNotAllowed(fields=[("region_num", "no code is sent to this country")])

    async def _check_spacing(self, tx: Transaction, e164: str) -> None:
        """Raises SmsLimited when the number has begun too many activations just now.

        After the number's budget is spent: others who begin one wait for that row, and are counted here.
        """
        if not self._is_counted(e164):
            return
        now = self.clock()
        digests = self.keys.phone_digests(phone_hash(e164)).values()
        sends = await activations.list_sends(tx, phone_digests=digests, since=now - SPACING_MS)
        wait_ms = _spacing_wait(sends, now)
        if wait_ms > 0:
            raise SmsLimited(retry_after=ceil(wait_ms / 1000))

    async def _spend(self, tx: Transaction, e164: str, address: str | None) -> None:
        """Count one more code. Raises SmsLimited; the transaction must then end, so that nothing is counted."""
        if self._is_counted(e164):
            await self.budgets.spend(tx, e164, address, self.clock())

    def _is_counted(self, e164: str) -> bool:
        return self.limits.enabled and e164 not in self.test_numbers

    def _new_code(self, e164: str) -> str:
        return self.test_numbers.get(e164) or f"{secrets.randbelow(10**6):06d}"

    def _place(self, e164: str) -> AbstractContextManager[Place | None]:
        """Room in the queue, had before the code is stored; nothing for a number that gets no SMS."""
        return nullcontext() if e164 in self.test_numbers else self.sms.reserve()


def _is_open(pending: Pending, now: int) -> bool:
    return pending.used_at is None and pending.expires_at > now and pending.attempts_left > 0


def _resend_at(pending: Pending, now: int) -> int:
    """When the code after the next may be asked for: at the activation's end, so never, after the last one."""
    if pending.sends < len(RESEND_AFTER_MS):
        return now + RESEND_AFTER_MS[pending.sends]
    return pending.expires_at


def _spacing_wait(sends: Sequence[tuple[int, int]], now: int) -> int:
    """Milliseconds until another activation may begin; 0 when it may now. `sends`: (created_at, codes), in order."""
    left = sum(codes for _, codes in sends)
    wait = 0
    for at, codes in sends:
        if left < SPACED:
            break
        left -= codes
        wait = at + SPACING_MS - now
    return wait


def _check_wait(wait_ms: int) -> None:
    if wait_ms > 0:
        raise RateLimited(retry_after=ceil(wait_ms / 1000))


def _newcomer(pending: Pending, e164: str) -> Newcomer:
    return Newcomer(
        from_e164(e164),
        pending.nickname,
        pending.cid,
        pending.push_provider,
        pending.device_type,
        pending.terms_version,
    )


def _send(place: Place | None, e164: str, code: str) -> None:
    if place is not None:
        place.put(SmsMessage(to=e164, text=f"Your Glimpse code is {code}. Tell it to nobody.", code=code))
