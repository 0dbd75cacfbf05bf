# SPDX-License-Identifier: Apache-2.0
"""To whom an image may go: facts in, decision out."""

from dataclasses import replace

import pytest

from models.errors import AppError, InboxFull, RecipientUnavailable
from models.message import DeliveryState
from models.rules import SendPolicy, check_can_send, check_has_room, first_state, first_state_in_group
from models.user import Recipient, Room, Shares, UserId
from tests.support.shipped import send_policy

PENDING, SENT, WITHHELD = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.WITHHELD

POLICY = send_policy(max_pending=3, max_pending_bytes=100)
FRIENDS_ONLY = replace(POLICY, friends_only=True)
SOMEBODY = Recipient(
    UserId(1),
    has_way_in=True,
    disabled_at=None,
    inbox=Room(2, 90),
    blocks_sender=False,
    is_friend=False,
)
FRIEND = replace(SOMEBODY, is_friend=True)


def check(recipient: Recipient | None, size: int | None, policy: SendPolicy) -> None:
    check_has_room(check_can_send(recipient, policy), size, policy)


def test_an_image_goes_to_somebody_with_room_for_it() -> None:
    check(SOMEBODY, 10, POLICY)
    check(FRIEND, 10, FRIENDS_ONLY)


def test_a_text_needs_no_room() -> None:
    full = replace(SOMEBODY, inbox=Room(3, 100))
    check(full, None, POLICY)
    assert first_state_in_group(full, None, SENT, POLICY) is SENT
    assert first_state_in_group(full, 0, PENDING, POLICY) is WITHHELD


def test_a_text_goes_to_nobody_else() -> None:
    for recipient in (None, replace(SOMEBODY, disabled_at=5)):
        with pytest.raises(RecipientUnavailable):
            check(recipient, None, POLICY)
    with pytest.raises(RecipientUnavailable):
        check(SOMEBODY, None, FRIENDS_ONLY)


def test_a_block_decides_how_a_message_begins_and_nothing_that_its_sender_is_told() -> None:
    blocking = replace(FRIEND, blocks_sender=True)
    check(blocking, 10, FRIENDS_ONLY)
    assert [first_state(blocking, reached) for reached in (PENDING, SENT)] == [DeliveryState.BLOCKED, WITHHELD]
    assert [first_state(FRIEND, reached) for reached in (PENDING, SENT)] == [PENDING, SENT]


@pytest.mark.parametrize(
    ("recipient", "policy", "error"),
    [
        (None, POLICY, RecipientUnavailable),
        (replace(SOMEBODY, disabled_at=5), POLICY, RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False), POLICY, RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False, inbox=Room(3, 90)), POLICY, RecipientUnavailable),
        (replace(FRIEND, blocks_sender=True, inbox=Room(3, 90)), POLICY, InboxFull),
        (replace(SOMEBODY, inbox=Room(3, 90)), FRIENDS_ONLY, RecipientUnavailable),
        (replace(SOMEBODY, inbox=Room(3, 90)), POLICY, InboxFull),
        (replace(SOMEBODY, inbox=Room(2, 91)), POLICY, InboxFull),
        (replace(FRIEND, inbox=Room(3, 90)), FRIENDS_ONLY, InboxFull),
    ],
)
def test_an_image_goes_to_nobody_else(recipient: Recipient | None, policy: SendPolicy, error: type[AppError]) -> None:
    with pytest.raises(error):
        check(recipient, 10, policy)


SHARED = replace(
    POLICY,
    max_pending=200,
    max_pending_bytes=2000,
    per_friend_percent=25,
    per_stranger_percent=10,
    strangers_percent=50,
)
NO_FRIEND = replace(SOMEBODY, inbox=Room(0, 0))


@pytest.mark.parametrize(
    ("is_friend", "inbox", "own", "strangers", "fits"),
    [
        (False, Room(49, 490), Room(49, 490), Room(49, 490), True),
        (False, Room(50, 0), Room(19, 0), Room(50, 0), True),
        (False, Room(50, 0), Room(20, 0), Room(50, 0), False),
        (False, Room(50, 0), Room(0, 0), Room(50, 0), True),
        (False, Room(0, 500), Room(1, 190), Room(9, 500), True),
        (False, Room(0, 500), Room(1, 191), Room(9, 500), False),
        (False, Room(100, 0), Room(0, 0), Room(99, 0), True),
        (False, Room(100, 0), Room(0, 0), Room(100, 0), False),
        (False, Room(199, 0), Room(0, 0), Room(0, 0), True),
        (False, Room(200, 0), Room(0, 0), Room(0, 0), False),
        (True, Room(99, 0), Room(99, 0), Room(0, 0), True),
        (True, Room(100, 0), Room(49, 0), Room(51, 0), True),
        (True, Room(100, 0), Room(50, 0), Room(50, 0), False),
        (True, Room(199, 0), Room(49, 0), Room(150, 0), True),
    ],
)
def test_shares_bite_where_half_is_used_and_leave_everybody_something(
    is_friend: bool, inbox: Room, own: Room, strangers: Room, fits: bool
) -> None:
    receiver = replace(NO_FRIEND, is_friend=is_friend, inbox=inbox, shares=Shares(own, strangers))
    if fits:
        check(receiver, 10, SHARED)
    else:
        with pytest.raises(InboxFull):
            check(receiver, 10, SHARED)
