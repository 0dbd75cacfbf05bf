# SPDX-License-Identifier: Apache-2.0
"""Statements over what a person has to do with whom: the conversation with each person, a row of `conversations`, and
with each group, a member's row of `group_members`.

`last_message_id` is the newest message that reached the person. It stays when the message goes, and is the place of the
conversation in their list. `read_up_to` is how far they have said that they have read.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from models.db.database import InList, Reader, Row, Statement, Transaction, as_list
from models.db.schema import blocks, conversations, deliveries, group_members, groups, messages, users
from models.db.tables.messages import IS_HIDDEN, SAID_BYTES
from models.group import GroupId
from models.message import MessageId
from models.paging import IdRange
from models.user import UserId

UNSEEN = 0
"""The `last_message_id` of a conversation of which nothing has reached the person: it is in no list."""
MAX_UNREAD = 1000
"""No more are counted: whoever leaves a million unread makes no list slow."""
MAX_LOOKED_AT = 5000
"""Nor are more looked at, the newest first: what is withheld, or what a member says themselves, is not counted."""

_MINE = and_(conversations.c.uid == bindparam("me"), conversations.c.peer_uid == bindparam("peer"))
_THEIRS = and_(conversations.c.uid == bindparam("peer"), conversations.c.peer_uid == bindparam("me"))
_AS_MEMBER = and_(group_members.c.group_id == bindparam("of_group"), group_members.c.uid == bindparam("me"))
_NOTE = Statement(
    update(conversations)
    .values(
        last_message_id=case(
            (conversations.c.uid == bindparam("me"), bindparam("message_id")),
            else_=func.coalesce(bindparam("reached_by"), conversations.c.last_message_id),
        )
    )
    .where(or_(_MINE, _THEIRS))
)
_BEGIN = Statement(
    insert(conversations).from_select(
        ["uid", "peer_uid", "last_message_id"],
        select(
            users.c.uid,
            bindparam("peer", type_=conversations.c.peer_uid.type),
            bindparam("message_id", type_=conversations.c.last_message_id.type),
        ).where(users.c.uid == bindparam("me"), ~exists().where(_MINE)),
    )
)
_NOTE_MEMBERS = Statement(
    update(group_members)
    .values(last_message_id=bindparam("message_id"))
    .where(group_members.c.group_id == bindparam("of_group"), InList(group_members.c.uid, bindparam("people")))
)


def _listed(
    table: FromClause, other: ColumnElement[int], name: ColumnElement[str], start: ColumnElement[int]
) -> Select[Row]:
    last = table.c.last_message_id
    return (
        select(last, other, name, table.c.read_up_to, start, func.coalesce(SAID_BYTES, 0))
        .where(table.c.uid == bindparam("me"), last > bindparam("after"), last < bindparam("before"))
        .order_by(last.desc())
        .limit(bindparam("at_most"))
    )


_LIST_PAIRS = Statement(
    _listed(conversations, conversations.c.peer_uid, users.c.nickname, literal_column("0")).select_from(
        conversations.join(users, users.c.uid == conversations.c.peer_uid).outerjoin(
            messages, messages.c.message_id == conversations.c.last_message_id
        )
    )
)
_LIST_GROUPS = Statement(
    _listed(group_members, group_members.c.group_id, groups.c.name, group_members.c.joined_after).select_from(
        group_members.join(groups, groups.c.group_id == group_members.c.group_id).outerjoin(
            messages, messages.c.message_id == group_members.c.last_message_id
        )
    )
)
_FIND_PAIR = Statement(select(conversations.c.last_message_id, conversations.c.read_up_to).where(_MINE))
_FIND_MEMBER = Statement(select(group_members.c.last_message_id, group_members.c.read_up_to).where(_AS_MEMBER))
_READ_PAIR = Statement(
    update(conversations)
    .values(read_up_to=bindparam("up_to"))
    .where(_MINE, conversations.c.read_up_to < bindparam("up_to"))
)
_READ_MEMBER = Statement(
    update(group_members)
    .values(read_up_to=bindparam("up_to"))
    .where(_AS_MEMBER, group_members.c.read_up_to < bindparam("up_to"))
)


def _got(said: ColumnElement[bool]) -> Subquery:
    """Of what was said in a conversation, what reached the person."""
    newest = (
        select(messages.c.message_id, messages.c.sender_uid)
        .where(said, messages.c.message_id > bindparam("after"), messages.c.message_id <= bindparam("up_to"))
        .order_by(messages.c.message_id.desc())
        .limit(MAX_LOOKED_AT)
        .subquery()
    )
    reached = and_(deliveries.c.message_id == newest.c.message_id, deliveries.c.receiver_uid == bindparam("me"))
    return select(newest).join(deliveries, reached).where(~IS_HIDDEN).limit(MAX_UNREAD).subquery()


_FROM_PEER = and_(
    messages.c.sender_uid == bindparam("peer"),
    messages.c.receiver_uid == bindparam("me"),
    messages.c.sender_uid != messages.c.receiver_uid,
)
_GOT_FROM_PEER = _got(_FROM_PEER)
_GOT_IN_GROUP = _got(messages.c.group_id == bindparam("of_group"))
# Off the event loop, since what is withheld is read and not counted.
_COUNT_FROM_PEER = Statement(select(func.count()).select_from(_GOT_FROM_PEER), bulk=True)
_COUNT_IN_GROUP = Statement(select(func.count()).select_from(_GOT_IN_GROUP), bulk=True)
_SENDERS_IN_GROUP = Statement(
    select(_GOT_IN_GROUP.c.sender_uid)
    .distinct()
    .join(
        group_members,
        and_(group_members.c.group_id == bindparam("of_group"), group_members.c.uid == _GOT_IN_GROUP.c.sender_uid),
    )
    .where(~exists().where(blocks.c.uid == group_members.c.uid, blocks.c.blocked_uid == bindparam("me"))),
    bulk=True,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation in a person's list, with a person or with a group: the other is null.

    `size` is what its last message says, in bytes. What counts as unread lies behind `start` and `read_up_to`.
    """

    last_message_id: MessageId
    peer_uid: UserId | None
    group_id: GroupId | None
    name: str
    read_up_to: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Where somebody stands in one conversation."""

    last_message_id: MessageId
    read_up_to: int


async def note_between(
    tx: Transaction, *, message_id: MessageId, sender_uid: UserId, receiver_uid: UserId, reaches: bool = True
) -> None:
    """The newest of what two people have said to each other. What does not reach the receiver is the sender's alone.

    Both are locked by the caller.
    """
    reached_by = message_id if reaches else None
    noted = await tx.execute(_NOTE, me=sender_uid, peer=receiver_uid, message_id=message_id, reached_by=reached_by)
    sides = {(sender_uid, receiver_uid): message_id, (receiver_uid, sender_uid): reached_by or UNSEEN}
    if noted.count < len(sides):
        for (me, peer), last in sorted(sides.items()):
            await tx.execute(_BEGIN, me=me, peer=peer, message_id=last)


async def note_in_group(tx: Transaction, *, message_id: MessageId, group_id: GroupId, uids: Iterable[UserId]) -> None:
    """The newest of what these members know in a group that the caller has locked."""
    await tx.execute(_NOTE_MEMBERS, message_id=message_id, of_group=group_id, people=as_list(sorted(uids)))


async def list_of_person(reader: Reader, *, me: UserId, wanted: IdRange) -> list[Listed]:
    """A person's conversations by `last_message_id`, the newest first."""
    bounds = {"me": me, "after": wanted.after, "before": wanted.before, "at_most": wanted.limit}
    found = [Listed(last, UserId(peer), None, *rest) for last, peer, *rest in await reader.read(_LIST_PAIRS, **bounds)]
    found += [
        Listed(last, None, GroupId(group), *rest) for last, group, *rest in await reader.read(_LIST_GROUPS, **bounds)
    ]
    return sorted(found, key=lambda each: each.last_message_id, reverse=True)[: wanted.limit]


async def count_from(reader: Reader, *, me: UserId, peer: UserId, after: int, up_to: int) -> int:
    """How much reached a person from another behind `after` up to `up_to`, MAX_UNREAD at most."""
    return int((await reader.read(_COUNT_FROM_PEER, me=me, peer=peer, after=after, up_to=up_to))[0][0])


async def count_in_group(reader: Reader, *, me: UserId, group_id: GroupId, after: int, up_to: int) -> int:
    """How much reached a member from the others in a group, as `count_from`."""
    return int((await reader.read(_COUNT_IN_GROUP, me=me, of_group=group_id, after=after, up_to=up_to))[0][0])


async def list_senders(reader: Reader, *, me: UserId, group_id: GroupId, after: int, up_to: int) -> list[UserId]:
    """The members from whom that is, but for those who block the reader, ascending."""
    rows = await reader.read(_SENDERS_IN_GROUP, me=me, of_group=group_id, after=after, up_to=up_to)
    return sorted(UserId(uid) for (uid,) in rows)


async def find_with(reader: Reader, *, me: UserId, peer: int) -> Mark | None:
    """Where somebody stands with another person; None before the first message between them."""
    rows = await reader.read(_FIND_PAIR, me=me, peer=peer)
    return Mark(*rows[0]) if rows and rows[0][0] != UNSEEN else None


async def find_in_group(reader: Reader, *, me: UserId, group_id: int) -> Mark | None:
    """Where somebody stands in a group; None when they are not in it."""
    rows = await reader.read(_FIND_MEMBER, me=me, of_group=group_id)
    return Mark(*rows[0]) if rows else None


async def mark_read_with(tx: Transaction, *, me: UserId, peer: UserId, up_to: int) -> bool:
    """Move the mark on; false where it is as far already."""
    return (await tx.execute(_READ_PAIR, me=me, peer=peer, up_to=up_to)).count == 1


async def mark_read_in_group(tx: Transaction, *, me: UserId, group_id: GroupId, up_to: int) -> bool:
    """As `mark_read_with`."""
    return (await tx.execute(_READ_MEMBER, me=me, of_group=group_id, up_to=up_to)).count == 1
