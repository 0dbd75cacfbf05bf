# SPDX-License-Identifier: Apache-2.0
"""The rows of a message that is being sent: to one person, or to everybody in a group at that moment.

All of it is part of the sender's transaction, which first locks the rows on whose facts it decides; one of the facts
is that the sender's credential has not ended since the request began. What a message to a group costs in statements
does not depend on how many people are in the group. Nor do the statements depend on who blocks the sender: the time of
the answer must not tell either.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar

from models import rules
from models.addressee import Receiver, ToGroup, ToPerson
from models.clock import HOUR_MS
from models.db.database import Reader, Transaction
from models.db.tables import conversations, deliveries, events, group_members, outbox, users
from models.errors import EmptyGroup, RecipientUnavailable, Unauthenticated
from models.message import DeliveryState, MessageId
from models.user import Recipient, UserId
from services.authentication import Caller, check_live
from services.limits import Limits

EMPTY = [("group_id", "a group with somebody else in it")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing(ABC):
    """A message of which no row speaks yet, and all in which an image differs from a text.

    `size` is how many bytes of a receiver's inbox it takes, None for what takes no room there; `lifetime_ms` is how
    long it is worth telling anybody of it; `needs_others` is false where one may speak to a group that nobody else is
    in yet.
    """

    event: ClassVar[str]
    """The type of its receivers' events, which name the message and are rendered out of it when they are read."""
    reached: ClassVar[DeliveryState]
    """How those whom it reaches stand with it."""

    sender: Caller
    to: Receiver
    size: int | None
    lifetime_ms: int
    needs_others: bool = True

    @abstractmethod
    async def insert(self, tx: Transaction, now: int, states: Collection[DeliveryState]) -> MessageId:
        """Write the message itself, with which its receivers will stand so."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message whose rows are written, and how many pushes are to tell of it: the relay is woken for those alone."""

    message_id: MessageId
    pushes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which rules a message is sent, when, and until when its pushes are tried. Times are in milliseconds."""

    policy: rules.SendPolicy
    now: int
    give_up_at: int


async def charge(reader: Reader, limits: Limits, sender: UserId, to: Receiver) -> None:
    """Count the people whom a message goes to against its sender, before any of it is kept. Raises RateLimited."""
    people = 1 if isinstance(to, ToPerson) else await group_members.count_others(reader, to.group_id, sender)
    limits.charge("delivery", sender, max(1, people))


async def record(
    tx: Transaction, message: Outgoing, policy: rules.SendPolicy, *, now: int, push_give_up_hours: int
) -> Recorded:
    """Write message, deliveries, events, counters and one outbox row for each device, if this sender may send so.

    Raises Unauthenticated, RecipientUnavailable, InboxFull, EmptyGroup.
    """
    # Nobody needs to be told of what is over: its pushes end with it.
    terms = Terms(policy, now, now + min(message.lifetime_ms, push_give_up_hours * HOUR_MS))
    if isinstance(message.to, ToPerson):
        return await _to_person(tx, message, message.to.receiver_uid, terms)
    return await _to_group(tx, message, message.to, terms)


async def check(tx: Transaction, message: Outgoing, policy: rules.SendPolicy, *, now: int) -> None:
    """What would be said against a message if it were sent now. Raises as `record` does, and writes nothing."""
    if not isinstance(message.to, ToPerson):
        await _others_in(tx, message, message.to, now)
        return
    available = rules.check_can_send(await _receiver(tx, message, message.to.receiver_uid, now), policy)
    [receiver] = await _with_shares(tx, message, [available], policy)
    rules.check_has_room(receiver, message.size, policy)


async def _to_person(tx: Transaction, message: Outgoing, uid: UserId, terms: Terms) -> Recorded:
    now, sender = terms.now, message.sender
    available = rules.check_can_send(await _receiver(tx, message, uid, now), terms.policy)
    [receiver] = await _with_shares(tx, message, [available], terms.policy)
    rules.check_has_room(receiver, message.size, terms.policy)
    state = rules.first_state(receiver, message.reached)
    reaches = state is message.reached
    message_id = await message.insert(tx, now, [state])
    await deliveries.insert_one(tx, message_id=message_id, receiver_uid=uid, sender_uid=sender.uid, state=state)
    await conversations.note_between(
        tx, message_id=message_id, sender_uid=sender.uid, receiver_uid=uid, reaches=reaches
    )
    await events.append(
        tx,
        uid=uid,
        seen=reaches,
        kind=message.event,
        at=now,
        message_id=message_id,
        pending_count=int(message.size is not None),
        pending_bytes=message.size or 0,
    )
    pushes = 0
    if receiver.has_device:
        # Also where it does not reach them: the relay sees that when it comes to the row.
        pushes = await outbox.insert_for_person(
            tx,
            kind=outbox.Kind.MESSAGE,
            message_id=message_id,
            uid=uid,
            now=now,
            give_up_at=terms.give_up_at,
        )
    return Recorded(message_id, pushes)


async def _to_group(tx: Transaction, message: Outgoing, to: ToGroup, terms: Terms) -> Recorded:
    """Whom the message cannot reach is left out, and the sender is not told of it."""
    now, sender = terms.now, message.sender
    members = await _others_in(tx, message, to, now)
    others = await _with_shares(tx, message, members, terms.policy)
    states = {
        each.uid: rules.first_state_in_group(each, message.size, message.reached, terms.policy) for each in others
    }
    reached = [uid for uid, state in states.items() if state is message.reached]
    message_id = await message.insert(tx, now, states.values())
    await deliveries.insert_for_members(
        tx, message_id=message_id, states=states, reached=message.reached, sender_uid=sender.uid
    )
    await conversations.note_in_group(tx, message_id=message_id, group_id=to.group_id, uids=[*reached, sender.uid])
    await events.append_for_all(
        tx,
        uids=reached,
        kind=message.event,
        at=now,
        message_id=message_id,
        pending_count=int(message.size is not None),
        pending_bytes=message.size or 0,
    )
    pushes = await outbox.insert_for_people(
        tx, kind=outbox.Kind.MESSAGE, message_id=message_id, uids=reached, now=now, give_up_at=terms.give_up_at
    )
    return Recorded(message_id, pushes)


async def _receiver(tx: Transaction, message: Outgoing, uid: UserId, now: int) -> Recipient | None:
    """The facts about one person whom somebody sends something.

    Raises Unauthenticated for a sender who has left or whose credential has ended.

    Both are kept as they are until the transaction ends: whatever is written about either takes their rows in turn.
    """
    sender = message.sender
    people = await users.lock_both(
        tx,
        uid,
        sender.uid,
        credential_id=sender.credential_id,
        family=sender.family,
        for_image=message.size is not None,
        now=now,
    )
    _check_sender(people.get(sender.uid))
    return people.get(uid)


async def _others_in(tx: Transaction, message: Outgoing, to: ToGroup, now: int) -> list[Recipient]:
    """Everybody in the sender's group but the sender. Raises RecipientUnavailable when it is not theirs, EmptyGroup,
    Unauthenticated for a sender who has left or whose credential has ended.

    The group is kept as it is until the transaction ends: who leaves now has their part of this message to release.
    """
    sender = message.sender
    found = await group_members.lock_recipients(
        tx,
        to.group_id,
        sender.uid,
        credential_id=sender.credential_id,
        family=sender.family,
        for_image=message.size is not None,
        now=now,
    )
    members = {member.uid: member for member in found}
    sending = members.pop(sender.uid, None)
    if sending is None:
        await check_live(tx, sender, now)
        raise RecipientUnavailable
    _check_sender(sending)
    if not members and message.needs_others:
        raise EmptyGroup(fields=EMPTY)
    return list(members.values())


async def _with_shares(
    tx: Transaction, message: Outgoing, people: list[Recipient], policy: rules.SendPolicy
) -> list[Recipient]:
    """The same people with what was not asked for before they were locked: how inboxes that are filling are divided."""
    filling = [each.uid for each in people if rules.is_filling(each, policy)] if message.size is not None else []
    if not filling:
        return people
    shares = await users.list_shares(tx, filling, message.sender.uid)
    return [replace(each, shares=shares.get(each.uid, each.shares)) for each in people]


def _check_sender(sender: Recipient | None) -> None:
    """Nothing is written for an account or by a credential that has ended while its last requests were under way."""
    if sender is None or not sender.has_way_in or not sender.is_let_in:
        raise Unauthenticated
