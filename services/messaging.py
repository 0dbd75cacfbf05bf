# SPDX-License-Identifier: Apache-2.0
"""Text and link messages on their way: section 8 of the HTTP contract."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from models import rules
from models.clock import DAY_MS, HOUR_MS
from models.db.database import CommitUnknown, Database, Transaction
from models.db.tables import deliveries, events, idempotency, messages, outbox
from models.errors import AppError, IdempotencyConflict, InvalidField, NotFound, RecipientUnavailable, Unavailable
from models.group import GroupId
from models.ids import read_id
from models.message import DeliveryState, MessageId, MessageKind
from models.user import UserId
from services import delivery
from services.accounts.registration import Problems
from services.authentication import Caller, check_live
from services.discovery import Discovery
from services.limits import Limits

MAX_TEXT, MAX_URL, MAX_SOURCE = 8000, 2048, 64
MAX_PIXELS, MAX_SECONDS = 100_000, 1_000_000
ADDRESSEES = ("receiver_uid", "group_id")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as its sender wrote it, checked but for what only the database knows. `body` is what its kind has.

    `needs_others` is false where one may speak to a group that nobody else is in yet.
    """

    receiver_uid: UserId | None
    group_id: GroupId | None
    kind: MessageKind
    body: dict[str, str | int]
    needs_others: bool = True

    @property
    def digest(self) -> bytes:
        """SHA-256 over all that makes this message this message: what an Idempotency-Key stands for."""
        said = [self.receiver_uid, self.group_id, self.kind.value, sorted(self.body.items())]
        return hashlib.sha256(json.dumps(said).encode()).digest()


@dataclass(frozen=True, slots=True)
class Sent:
    """The reply to an accepted message. `send_time` is in milliseconds."""

    message_id: MessageId
    send_time: int


class Messaging:
    """The use cases of a sender. A message is kept `retention_days`; `clock` gives milliseconds."""

    def __init__(
        self,
        *,
        db: Database,
        limits: Limits,
        discovery: Discovery,
        policy: rules.SendPolicy,
        retention_days: int,
        push_give_up_hours: int,
        wake_relay: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._limits = limits
        self._discovery = discovery
        self._policy = policy
        self._retention_days = retention_days
        self._push_give_up_hours = push_give_up_hours
        self._wake_relay = wake_relay
        self._clock = clock

    async def send(
        self, caller: Caller, fields: Mapping[str, Any], key: str | None, *, needs_others: bool = True
    ) -> Sent:
        """Write the message, its events and its notifications in one transaction.

        Raises InvalidField, Unauthenticated when the credential has ended since it was taken, RecipientUnavailable,
        EmptyGroup, IdempotencyConflict, RateLimited, DiscoveryBudget, Unavailable.
        """
        uid, draft = caller.uid, replace(read_draft(fields), needs_others=needs_others)
        name = idempotency.key_digest("message", str(uid), key) if key is not None else None
        earlier = await self._earlier(name)
        if earlier is not None:
            return await self._again(caller, earlier, draft)
        await self._limits.check("message", address=None, uid=uid)

        async def unit(tx: Transaction) -> Sent:
            return await self._record(tx, caller, draft, name)

        try:
            sent = await self._db.write(unit)
        except CommitUnknown as error:
            raise Unavailable("The message may have been taken; ask again with the same Idempotency-Key.") from error
        except AppError as refusal:
            # The same key may have come twice at once: whoever is second is answered like the first.
            earlier = await self._earlier(name)
            if earlier is not None:
                return await self._again(caller, earlier, draft)
            if isinstance(refusal, RecipientUnavailable) and draft.receiver_uid is not None:
                await self._discovery.charge_unavailable(uid, f"receiver_uid {draft.receiver_uid}")
            raise
        self._wake_relay()
        return sent

    async def delete(self, uid: UserId, message_id: int) -> None:
        """Take a message back from everybody who has it: their events then say that it was, and not what it said.

        Raises NotFound for any that is not the sender's own.
        """

        async def unit(tx: Transaction) -> None:
            found = await messages.lock_text(tx, message_id=message_id, sender_uid=uid)
            if found is None:
                raise NotFound
            data = {**asdict(found), "sender_uid": uid, "deleted": True}
            await events.replace_about(tx, message_id=found.message_id, kind="message", at=found.send_time, data=data)
            await messages.delete_message(tx, found.message_id)

        await self._db.write(unit)

    async def _earlier(self, name: bytes | None) -> idempotency.Earlier | None:
        return await idempotency.find(self._db, name, self._clock()) if name is not None else None

    async def _again(self, caller: Caller, earlier: idempotency.Earlier, draft: Draft) -> Sent:
        """The first reply to the same key. Raises Unauthenticated, IdempotencyConflict."""
        await check_live(self._db, caller, self._clock())
        if earlier.request_digest != draft.digest:
            raise IdempotencyConflict
        return Sent(**json.loads(earlier.reply))

    async def _record(self, tx: Transaction, caller: Caller, draft: Draft, name: bytes | None) -> Sent:
        now = self._clock()
        sent = await (self._to_person if draft.receiver_uid is not None else self._to_group)(tx, caller, draft, now)
        if name is not None:
            await idempotency.insert(
                tx,
                key_digest=name,
                request_digest=draft.digest,
                uid=caller.uid,
                reply=json.dumps(asdict(sent)),
                now=now,
                expires_at=now + DAY_MS,
            )
        return sent

    async def _to_person(self, tx: Transaction, caller: Caller, draft: Draft, now: int) -> Sent:
        assert draft.receiver_uid is not None
        uid, found = caller.uid, await delivery.receiver(tx, draft.receiver_uid, caller, now)
        recipient = rules.check_can_write_to(found, self._policy)
        sent = await self._insert(tx, uid, draft, now)
        await deliveries.insert_one(
            tx,
            message_id=sent.message_id,
            receiver_uid=recipient.uid,
            sender_uid=uid,
            state=DeliveryState.SENT,
        )
        await events.append(tx, uid=recipient.uid, kind="message", at=now, data=entry(sent, uid, draft))
        await outbox.insert_for_person(
            tx,
            kind=outbox.Kind.MESSAGE,
            message_id=sent.message_id,
            uid=recipient.uid,
            now=now,
            give_up_at=now + self._push_give_up_hours * HOUR_MS,
        )
        return sent

    async def _to_group(self, tx: Transaction, caller: Caller, draft: Draft, now: int) -> Sent:
        """Whom the message cannot reach is left out, and the sender is not told of it."""
        assert draft.group_id is not None
        others = await delivery.others_in(tx, draft.group_id, caller, now, needs_others=draft.needs_others)
        uid = caller.uid
        reached = {each.uid for each in others if rules.is_reachable(each)}
        left_out = {each.uid for each in others} - reached
        sent = await self._insert(tx, uid, draft, now)
        tx.touched.add(uid)  # no event, but who follows a room sees what they have said
        for state, uids in ((DeliveryState.SENT, reached), (DeliveryState.WITHHELD, left_out)):
            if uids:
                await deliveries.insert_for_members(
                    tx, message_id=sent.message_id, receiver_uids=uids, sender_uid=uid, state=state
                )
        if reached:
            await events.append_for_all(tx, uids=reached, kind="message", at=now, data=entry(sent, uid, draft))
            await outbox.insert_for_people(
                tx,
                kind=outbox.Kind.MESSAGE,
                message_id=sent.message_id,
                uids=reached,
                now=now,
                give_up_at=now + self._push_give_up_hours * HOUR_MS,
            )
        return sent

    async def _insert(self, tx: Transaction, uid: UserId, draft: Draft, now: int) -> Sent:
        message_id = await messages.insert_text(
            tx,
            kind=draft.kind,
            sender_uid=uid,
            receiver_uid=draft.receiver_uid,
            group_id=draft.group_id,
            send_time=now,
            body=json.dumps(draft.body, ensure_ascii=False),
            expires_at=now + self._retention_days * DAY_MS,
        )
        return Sent(message_id, now)


def entry(sent: Sent, uid: UserId, draft: Draft) -> dict[str, object]:
    """The message as its receivers see it, in the history and in their events."""
    return {
        "message_id": sent.message_id,
        "kind": draft.kind.value,
        "sender_uid": uid,
        "receiver_uid": draft.receiver_uid,
        "group_id": draft.group_id,
        "send_time": sent.send_time,
        **draft.body,
    }


def read_draft(fields: Mapping[str, Any]) -> Draft:
    """Raises InvalidField with every field that is wrong."""
    problems: Problems = []
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _READERS:
        raise InvalidField(fields=[("kind", "must be one of " + ", ".join(_READERS))])
    given = [name for name in ADDRESSEES if fields.get(name) is not None]
    addressee = read_id(fields[given[0]]) if len(given) == 1 else None
    if len(given) != 1:
        problems.append(("receiver_uid", "exactly one of receiver_uid, group_id"))
    elif addressee is None:
        problems.append((given[0], "a positive integer"))
    readers = _READERS[kind]
    for name in fields.keys() - {*ADDRESSEES, "kind", *readers}:
        problems.append((name[:64].encode(errors="replace").decode(), "unknown"))
    body = {}
    for name, (is_right, wanted) in readers.items():
        if is_right(fields.get(name)):
            body[name] = fields[name]
        else:
            problems.append((name, wanted))
    if problems or addressee is None:
        raise InvalidField(fields=sorted(problems))
    to_person = given == ["receiver_uid"]
    return Draft(
        UserId(addressee) if to_person else None, None if to_person else GroupId(addressee), MessageKind(kind), body
    )


def _is_text(value: object, most: int) -> bool:
    """Text that every database gives back as it came: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


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
