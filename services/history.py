# SPDX-License-Identifier: Apache-2.0
"""Looking back on a conversation."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models import rules
from models.db.database import Database
from models.db.tables import group_members, history
from models.db.tables.history import Entry
from models.errors import NotFound
from models.group import GroupId
from models.message import DeliveryState, MeasuredMessage, Message, MessageId, MessageKind
from models.paging import IdRange
from models.user import UserId


@dataclass(frozen=True, slots=True)
class Conversation:
    """With one person or of one group: the other is null."""

    with_uid: int | None
    group_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was said, as one of those who were there may see it. `clock` gives milliseconds."""

    db: Database
    clock: Callable[[], int]

    async def find(self, uid: UserId, conversation: Conversation, wanted: IdRange) -> list[MeasuredMessage]:
        """Which messages are in this range, the newest first. Raises NotFound for a group that the caller is not in."""
        if conversation.group_id is not None:
            group_id = await self._own_group(uid, conversation.group_id)
            return await history.list_of_group(self.db, me=uid, group_id=group_id, wanted=wanted)
        assert conversation.with_uid is not None
        return await history.list_with(self.db, me=uid, other=conversation.with_uid, wanted=wanted)

    async def entries(self, uid: UserId, message_ids: Sequence[MessageId]) -> list[dict[str, Any]]:
        """Those of these messages that are still there, the newest first, as this person may look back on them."""
        found = await history.list_entries(self.db, me=uid, message_ids=message_ids) if message_ids else []
        own = [each for each in found if each.kind is MessageKind.IMAGE and each.message.sender_uid == uid]
        states = await history.list_states(self.db, [each.message.message_id for each in own]) if own else {}
        now = self.clock()
        return [_shown(each, states.get(each.message.message_id), now) for each in found]

    async def count(self, uid: UserId, conversation: Conversation) -> int:
        """How many entries there are in all. Raises NotFound."""
        if conversation.group_id is not None:
            group_id = await self._own_group(uid, conversation.group_id)
            return await history.count_of_group(self.db, me=uid, group_id=group_id)
        assert conversation.with_uid is not None
        return await history.count_with(self.db, me=uid, other=conversation.with_uid)

    async def _own_group(self, uid: UserId, group_id: int) -> GroupId:
        if await group_members.find_role(self.db, group_id, uid) is None:
            raise NotFound
        return GroupId(group_id)


def deleted(message_id: MessageId) -> dict[str, Any]:
    """All that is left to be told of a message that is gone."""
    return {"message_id": message_id, "deleted": True}


def shown_as_event(entry: Entry) -> dict[str, Any]:
    """A message as the event of its arrival tells it: of an image where it is, of anything else what it says."""
    message = entry.message
    if entry.kind is not MessageKind.IMAGE:
        return _head(entry) | _said(entry)
    told: dict[str, Any] = {
        "message_id": message.message_id,
        "message_key": message.message_key,
        "sender_uid": message.sender_uid,
    }
    told |= _seen_before(message)
    return told if message.group_id is None else {**told, "group_id": message.group_id}


def _shown(entry: Entry, of_receivers: list[DeliveryState] | None, now: int) -> dict[str, Any]:
    message = entry.message
    if entry.kind is not MessageKind.IMAGE:
        return _head(entry) | _said(entry)
    return _head(entry) | {
        "message_key": message.message_key,
        "filetype": message.filetype,
        "size": message.size,
        "caption": message.caption,
        "state": _state(entry, of_receivers, now).value,
        **_seen_before(message),
    }


def _seen_before(message: Message) -> dict[str, Any]:
    """What shows an image before it is opened."""
    return {"placeholder": message.placeholder, "has_thumbnail": message.has_preview}


def _head(entry: Entry) -> dict[str, Any]:
    message = entry.message
    return {
        "message_id": message.message_id,
        "kind": entry.kind.value,
        "sender_uid": message.sender_uid,
        "receiver_uid": message.receiver_uid,
        "group_id": message.group_id,
        "send_time": message.send_time,
    }


def _said(entry: Entry) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(entry.body) if entry.body is not None else {}
    return body


def _state(entry: Entry, of_receivers: list[DeliveryState] | None, now: int) -> DeliveryState:
    if of_receivers is not None:
        return rules.state_of_all([rules.state_for_sender(state, entry.message, now) for state in of_receivers])
    assert entry.own_state
    return rules.state_at(entry.own_state, entry.message.expires_at, now)
