# SPDX-License-Identifier: Apache-2.0
"""What a member may do in a group, who owns it next, and whom an image to it reaches: facts in, decision out."""

from dataclasses import replace

import pytest

from models.errors import Forbidden
from models.group import Member, Role
from models.message import DeliveryState, Message, MessageId
from models.rules import (
    can_be_invited,
    check_may_remove,
    check_may_set_role,
    first_state_in_group,
    heir,
    state_for_sender,
    state_of_all,
)
from models.user import Recipient, Room, UserId
from tests.support.shipped import send_policy

OWNER, ADMIN, MEMBER = Role.OWNER, Role.ADMIN, Role.MEMBER
PENDING, CONSUMED, EXPIRED, RECALLED = (DeliveryState(s) for s in ("pending", "consumed", "expired", "recalled"))
LOST, WITHHELD, RELEASED = DeliveryState.LOST, DeliveryState.WITHHELD, DeliveryState.RELEASED
BLOCKED = DeliveryState.BLOCKED

POLICY = send_policy(max_pending=3, max_pending_bytes=100)
SOMEBODY = Recipient(
    UserId(1),
    has_way_in=True,
    disabled_at=None,
    inbox=Room(2, 90),
    blocks_sender=False,
    is_friend=False,
)
MESSAGE = Message(MessageId(1), "k", UserId(1), None, None, 0, "jpeg", 1, b"", "", 100, None, 1)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (None, MEMBER, {OWNER, ADMIN}),
        (None, ADMIN, {OWNER}),
        (MEMBER, MEMBER, {OWNER, ADMIN}),
        (MEMBER, ADMIN, {OWNER}),
        (ADMIN, MEMBER, {OWNER}),
        (ADMIN, ADMIN, {OWNER, ADMIN}),
        (OWNER, MEMBER, set()),
        (OWNER, ADMIN, set()),
        (OWNER, OWNER, set()),
    ],
)
def test_who_may_set_a_role(before: Role | None, after: Role, allowed: set[Role]) -> None:
    for actor in Role:
        if actor in allowed:
            check_may_set_role(actor, before, after)
        else:
            with pytest.raises(Forbidden):
                check_may_set_role(actor, before, after)


@pytest.mark.parametrize(("target", "allowed"), [(MEMBER, {OWNER, ADMIN}), (ADMIN, {OWNER}), (OWNER, {OWNER})])
def test_who_may_put_a_member_out(target: Role, allowed: set[Role]) -> None:
    for actor in Role:
        if actor in allowed:
            check_may_remove(actor, target)
        else:
            with pytest.raises(Forbidden):
                check_may_remove(actor, target)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([], None),
        ([(5, MEMBER, 20), (6, MEMBER, 10)], 6),
        ([(5, MEMBER, 10), (6, MEMBER, 10)], 5),
        ([(5, MEMBER, 10), (6, ADMIN, 30), (7, ADMIN, 20)], 7),
    ],
)
def test_who_owns_the_group_next(left: list[tuple[int, Role, int]], expected: int | None) -> None:
    found = heir([Member(UserId(uid), "x", role, joined_at) for uid, role, joined_at in left])
    assert (found and found.uid) == expected


@pytest.mark.parametrize(
    ("recipient", "begins", "invited"),
    [
        (SOMEBODY, PENDING, True),
        (replace(SOMEBODY, blocks_sender=True), BLOCKED, True),
        (replace(SOMEBODY, blocks_sender=True, inbox=Room(3, 90)), WITHHELD, True),
        (replace(SOMEBODY, disabled_at=1), WITHHELD, False),
        (replace(SOMEBODY, has_way_in=False), WITHHELD, False),
        (replace(SOMEBODY, inbox=Room(3, 90)), WITHHELD, True),
        (replace(SOMEBODY, inbox=Room(2, 91)), WITHHELD, True),
    ],
)
def test_whom_a_group_image_reaches_and_who_can_be_invited(
    recipient: Recipient, begins: DeliveryState, invited: bool
) -> None:
    friends_only, friend = replace(POLICY, friends_only=True), replace(recipient, is_friend=True)
    for policy in (POLICY, friends_only):
        assert first_state_in_group(recipient, 10, PENDING, policy) is begins
    assert can_be_invited(recipient, POLICY) == can_be_invited(friend, friends_only) == invited
    assert not can_be_invited(recipient, friends_only)


@pytest.mark.parametrize(
    ("state", "now", "recalled_at", "shown"),
    [
        (PENDING, 99, None, PENDING),
        (PENDING, 100, None, EXPIRED),
        (BLOCKED, 99, None, PENDING),
        (BLOCKED, 100, None, EXPIRED),
        (WITHHELD, 99, None, PENDING),
        (WITHHELD, 100, None, EXPIRED),
        (WITHHELD, 100, 50, RECALLED),
        (RELEASED, 99, None, RELEASED),
        (LOST, 99, None, EXPIRED),
    ],
)
def test_the_sender_cannot_tell_a_withheld_image(
    state: DeliveryState, now: int, recalled_at: int | None, shown: DeliveryState
) -> None:
    assert state_for_sender(state, MESSAGE._replace(recalled_at=recalled_at), now) is shown


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([CONSUMED, PENDING, EXPIRED], PENDING),
        ([CONSUMED, RECALLED], RECALLED),
        ([CONSUMED, EXPIRED], EXPIRED),
        ([CONSUMED, RELEASED], CONSUMED),
        ([RELEASED], EXPIRED),
        ([CONSUMED], CONSUMED),
    ],
)
def test_the_state_of_a_message_to_many(states: list[DeliveryState], expected: DeliveryState) -> None:
    assert state_of_all(states) is expected
