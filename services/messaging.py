# SPDX-License-Identifier: Apache-2.0
"""Text and link messages on their way."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from models import rules
from models.addressee import Receiver, ToPhone
from models.clock import DAY_MS
from models.db.database import CommitUnknown, Database, Transaction
from models.db.tables import deliveries, events, messages
from models.errors import AppError, InvalidField, NotFound, RecipientUnavailable, Unavailable
from models.message import DeliveryState, MessageId, MessageKind
from models.user import UserId
from services import delivery, idempotency
from services.authentication import Caller
from services.discovery import Discovery
from services.fields import Problems, raise_if_any, read_addressee, unknown
from services.history import deleted
from services.idempotency import Request
from services.limits import Limits

MAX_TEXT, MAX_URL, MAX_SOURCE = 8000, 2048, 64
MAX_PIXELS, MAX_SECONDS = 100_000, 1_000_000
ADDRESSEES = ("receiver_uid", "group_id")
OPERATION = "message"
_UNKEPT = re.compile("[\0\ud800-\udfff]")

Body = dict[str, str | int]
"""What a message says, as its kind has it."""


@dataclass(frozen=True, slots=True)
class TextDraft:
    """A text or a link as its sender wrote it, checked but for what only the database knows.

    `needs_others` is false where one may speak to a group that nobody else is in yet.
    """

    to: Receiver
    kind: MessageKind
    body: Body
    needs_others: bool = True

    @property
    def digest(self) -> bytes:
        """SHA-256 over all that makes this message this message: what an Idempotency-Key stands for."""
        said = [self.to.receiver_uid, self.to.group_id, self.kind.value, sorted(self.body.items())]
        return hashlib.sha256(json.dumps(said).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingText(delivery.Outgoing):
    """A text or a link. `body` is what it says, in JSON."""

    event = "message"
    reached = DeliveryState.SENT

    size: None = None
    kind: MessageKind
    body: str

    async def insert(self, tx: Transaction, now: int, states: Collection[DeliveryState]) -> MessageId:  # noqa: ARG002
        if self.to.group_id is not None:
            tx.touched.add(self.sender.uid)  # no event, but who follows a room sees what they have said
        return await messages.insert_text(
            tx,
            kind=self.kind,
            sender_uid=self.sender.uid,
            receiver_uid=self.to.receiver_uid,
            group_id=self.to.group_id,
            send_time=now,
            body=self.body,
            expires_at=now + self.lifetime_ms,
        )


@dataclass(frozen=True, slots=True)
class SentText:
    """The reply to an accepted message. `send_time` is in milliseconds."""

    message_id: MessageId
    send_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Messaging:
    """The use cases of a sender. A message is kept `retention_days`; `clock` gives milliseconds."""

    db: Database
    limits: Limits
    discovery: Discovery
    policy: rules.SendPolicy
    retention_days: int
    push_give_up_hours: int
    wake_relay: Callable[[], None]
    clock: Callable[[], int]

    async def send(self, caller: Caller, draft: TextDraft, key: str | None, address: str) -> SentText:
        """Write the message, its events and its notifications in one transaction. `address` is the sender's.

        Raises Unauthenticated when the credential has ended since it was taken, RecipientUnavailable, EmptyGroup,
        IdempotencyConflict, RateLimited, DiscoveryBudget, Unavailable.
        """
        request = idempotency.request(OPERATION, str(caller.uid), key, lambda: draft.digest)
        first = await self._first_reply(caller, request)
        if first is not None:
            return first
        await self.limits.check("message", address=None, uid=caller.uid)
        await delivery.charge(self.db, self.limits, caller.uid, draft.to)
        body = json.dumps(draft.body, ensure_ascii=False)
        self.limits.charge("text_bytes", caller.uid, len(body.encode()))
        try:
            return await self._publish(caller, draft, body, request)
        except RecipientUnavailable:
            await self.discovery.charge_unavailable(caller.uid, draft.to, address)
            raise

    async def delete(self, uid: UserId, message_id: int) -> None:
        """Take a message back from everybody who has it, and tell them: their events then say that it was, and not
        what it said.

        Raises NotFound for any that is not the sender's own.
        """

        async def unit(tx: Transaction) -> None:
            found = await messages.find_text(tx, message_id=message_id, sender_uid=uid)
            if found is None:
                raise NotFound
            receipts = await deliveries.list_of_message(tx, found.message_id)
            told = [each.uid for each in receipts if each.state is DeliveryState.SENT]
            # The people come first, as wherever both are held; of two who take it back at once one finds it gone.
            await events.lock_counters(tx, told)
            if await messages.lock_text(tx, message_id=message_id, sender_uid=uid) is None:
                raise NotFound
            data = deleted(found.message_id)
            await events.append_for_all(tx, uids=told, kind="message_deleted", at=self.clock(), data=data)
            await messages.delete_message(tx, found.message_id)

        await self.db.write(unit)

    async def _publish(self, caller: Caller, draft: TextDraft, body: str, request: Request | None) -> SentText:
        outgoing = OutgoingText(
            sender=caller,
            to=draft.to,
            lifetime_ms=self.retention_days * DAY_MS,
            needs_others=draft.needs_others,
            kind=draft.kind,
            body=body,
        )

        async def unit(tx: Transaction) -> tuple[SentText, int]:
            return await self._record(tx, outgoing, request)

        try:
            sent, pushes = await self.db.write(unit)
        except CommitUnknown as error:
            raise Unavailable("The message may have been taken; ask again with the same Idempotency-Key.") from error
        except AppError:
            # The same key may have come twice at once: whoever is second is answered like the first.
            first = await self._first_reply(caller, request)
            if first is None:
                raise
            return first
        if pushes:
            self.wake_relay()
        return sent

    async def _record(self, tx: Transaction, text: OutgoingText, request: Request | None) -> tuple[SentText, int]:
        """The reply, and how many pushes are to be sent."""
        now = self.clock()
        recorded = await delivery.record(tx, text, self.policy, now=now, push_give_up_hours=self.push_give_up_hours)
        sent = SentText(recorded.message_id, now)
        if request is not None:
            await idempotency.remember(tx, request, asdict(sent), uid=text.sender.uid, now=now, keep_ms=DAY_MS)
        return sent, recorded.pushes

    async def _first_reply(self, caller: Caller, request: Request | None) -> SentText | None:
        """What this request was answered before. Raises Unauthenticated, IdempotencyConflict."""
        reply = await idempotency.find_reply(self.db, request, self.clock(), caller=caller)
        return SentText(**reply) if reply is not None else None


def read_draft(fields: Mapping[str, Any]) -> TextDraft:
    """Raises InvalidField for a kind that there is not, else with every field that is wrong."""
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _READERS:
        raise InvalidField(fields=[("kind", "must be one of " + ", ".join(_READERS))])
    problems = unknown(fields, {*ADDRESSEES, "kind", *_READERS[kind]})
    to = None
    try:
        to = read_addressee(fields, ADDRESSEES)
    except InvalidField as error:
        problems.extend(error.fields)
    body = read_body(MessageKind(kind), fields, problems)
    raise_if_any(problems)
    assert to is not None
    assert not isinstance(to, ToPhone)
    return TextDraft(to, MessageKind(kind), body)


def read_body(kind: MessageKind, fields: Mapping[str, Any], problems: Problems) -> Body:
    """What a message of this kind says; what is wrong is added to `problems`."""
    body: Body = {}
    for name, (is_right, wanted) in _READERS[kind].items():
        if is_right(fields.get(name)):
            body[name] = fields[name]
        else:
            problems.append((name, wanted))
    return body


def _is_text(value: object, most: int) -> bool:
    """Text that every database gives back as it came: no NUL, no half of a surrogate pair."""
    return isinstance(value, str) and 1 <= len(value) <= most and not _UNKEPT.search(value)


def _is_link(value: object) -> bool:
    if not isinstance(value, str) or not _is_text(value, MAX_URL) or any(letter <= " " for letter in value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


_Reader = tuple[Callable[[object], bool], str]
_URL: _Reader = (_is_link, f"an http or https address of at most {MAX_URL} characters")
_PIXELS: _Reader = (lambda value: _is_whole(value, 1, MAX_PIXELS), f"a number from 1 to {MAX_PIXELS}")
_READERS: dict[str, dict[str, _Reader]] = {
    MessageKind.TEXT: {
        "text": (lambda value: _is_text(value, MAX_TEXT), f"1 to {MAX_TEXT} characters, no NUL"),
    },
    MessageKind.IMAGE_LINK: {"url": _URL, "width": _PIXELS, "height": _PIXELS},
    MessageKind.VIDEO_LINK: {
        "url": _URL,
        "length_seconds": (lambda value: _is_whole(value, 0, MAX_SECONDS), f"a number from 0 to {MAX_SECONDS}"),
        "source": (lambda value: _is_text(value, MAX_SOURCE), f"1 to {MAX_SOURCE} characters, no NUL"),
    },
}
