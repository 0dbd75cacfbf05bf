# SPDX-License-Identifier: Apache-2.0
"""The rows of an image that is being sent: to one person, or to everybody in a group at that moment.

All of it is part of the sender's transaction, which first locks the rows on whose facts it decides; one of the facts
is that the sender's credential has not ended since the request began. What a group image costs in statements does not
depend on how many people are in the group.
"""

from dataclasses import dataclass

from models import rules
from models.db.database import Transaction
from models.db.tables import deliveries, events, group_members, messages, outbox, users
from models.errors import EmptyGroup, RecipientUnavailable, Unauthenticated
from models.group import GroupId
from models.message import DeliveryState, MessageId
from models.user import Recipient, UserId
from services.authentication import Caller, check_live

EMPTY = [("group_id", "a group with somebody else in it")]


@dataclass(frozen=True, slots=True)
class Sent:
    """The reply to an accepted image. `send_time` is in milliseconds."""

    message_id: MessageId
    message_key: str
    send_time: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An image as its sender described it, checked but for what only the database knows. `size` is in bytes."""

    fields: dict[str, str]
    filetype: str
    ttl_seconds: int
    caption: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """An image whose bytes are durable and of which no row speaks yet: to one receiver, or else to a group."""

    draft: Draft
    sender: Caller
    receiver_uid: UserId | None
    group_id: GroupId | None
    message_key: str
    sha256: bytes
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which rules an image is sent, when, and until when its pushes are tried. Times are in milliseconds."""

    policy: rules.SendPolicy
    now: int
    give_up_at: int


async def record(tx: Transaction, image: Stored, policy: rules.SendPolicy, *, now: int, push_give_up_ms: int) -> Sent:
    """Write message, deliveries, events, counters and one outbox row for each device, if this sender may send so.

    Raises Unauthenticated, RecipientUnavailable, InboxFull, EmptyGroup.
    """
    terms = Terms(policy, now, now + min(image.draft.ttl_seconds * 1000, push_give_up_ms))
    if image.receiver_uid is not None:
        return await _to_person(tx, image, image.receiver_uid, terms)
    assert image.group_id is not None
    return await _to_group(tx, image, image.group_id, terms)


async def _to_person(tx: Transaction, image: Stored, uid: UserId, terms: Terms) -> Sent:
    size, sender_uid, now = image.draft.size, image.sender.uid, terms.now
    rules.check_can_send(await receiver(tx, uid, image.sender, now), size, terms.policy)
    sent = await _insert_message(tx, image, now)
    await deliveries.insert_one(tx, message_id=sent.message_id, receiver_uid=uid, sender_uid=sender_uid)
    data = {"message_id": sent.message_id, "message_key": sent.message_key, "sender_uid": sender_uid}
    await events.append(tx, uid=uid, kind="image", at=now, data=data, pending_count=1, pending_bytes=size)
    await outbox.insert_for_person(
        tx, kind=outbox.Kind.MESSAGE, message_id=sent.message_id, uid=uid, now=now, give_up_at=terms.give_up_at
    )
    return sent


async def _to_group(tx: Transaction, image: Stored, group_id: GroupId, terms: Terms) -> Sent:
    """Whom the image cannot reach is left out, and the sender is not told of it."""
    size, sender_uid, now = image.draft.size, image.sender.uid, terms.now
    others = await others_in(tx, group_id, image.sender, now)
    reached = {each.uid for each in others if rules.can_receive_in_group(each, size, terms.policy)}
    left_out = {each.uid for each in others} - reached
    sent = await _insert_message(tx, image, now)
    for state, uids in ((DeliveryState.PENDING, reached), (DeliveryState.WITHHELD, left_out)):
        if uids:
            await deliveries.insert_for_members(
                tx, message_id=sent.message_id, receiver_uids=uids, sender_uid=sender_uid, state=state
            )
    if not reached:
        await messages.end_if_nobody_waits(tx, sent.message_id, now)
        return sent
    said = {"message_id": sent.message_id, "message_key": sent.message_key, "sender_uid": sender_uid}
    await events.append_for_all(
        tx,
        uids=reached,
        kind="image",
        at=now,
        data={**said, "group_id": group_id},
        pending_count=1,
        pending_bytes=size,
    )
    await outbox.insert_for_people(
        tx, kind=outbox.Kind.MESSAGE, message_id=sent.message_id, uids=reached, now=now, give_up_at=terms.give_up_at
    )
    return sent


async def receiver(tx: Transaction, uid: UserId, sender: Caller, now: int) -> Recipient | None:
    """The facts about one person whom somebody sends something.

    Raises Unauthenticated for a sender who has left or whose credential has ended.

    Both are kept as they are until the transaction ends: whatever is written about either takes their rows in turn.
    """
    people = await users.lock_both(
        tx, uid, sender.uid, credential_id=sender.credential_id, family=sender.family, now=now
    )
    _check_sender(people.get(sender.uid))
    return people.get(uid)


async def others_in(
    tx: Transaction, group_id: GroupId, sender: Caller, now: int, *, needs_others: bool = True
) -> list[Recipient]:
    """Everybody in the sender's group but the sender. Raises RecipientUnavailable when it is not theirs, EmptyGroup,
    Unauthenticated for a sender who has left or whose credential has ended.

    The group is kept as it is until the transaction ends: who leaves now has their part of this image to release.
    """
    found = await group_members.lock_recipients(
        tx, group_id, sender.uid, credential_id=sender.credential_id, family=sender.family, now=now
    )
    members = {member.uid: member for member in found}
    sending = members.pop(sender.uid, None)
    if sending is None:
        await check_live(tx, sender, now)
        raise RecipientUnavailable
    _check_sender(sending)
    if not members and needs_others:
        raise EmptyGroup(fields=EMPTY)
    return list(members.values())


def _check_sender(sender: Recipient | None) -> None:
    """Nothing is written for an account or by a credential that has ended while its last requests were under way."""
    if sender is None or not sender.has_way_in or not sender.is_let_in:
        raise Unauthenticated


async def _insert_message(tx: Transaction, image: Stored, now: int) -> Sent:
    draft = image.draft
    message_id = await messages.insert_image(
        tx,
        message_key=image.message_key,
        sender_uid=image.sender.uid,
        receiver_uid=image.receiver_uid,
        group_id=image.group_id,
        send_time=now,
        filetype=draft.filetype,
        size=draft.size,
        sha256=image.sha256,
        caption=draft.caption,
        expires_at=now + draft.ttl_seconds * 1000,
    )
    return Sent(message_id, image.message_key, now)
