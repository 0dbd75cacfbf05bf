# SPDX-License-Identifier: Apache-2.0
"""To whom an image may go: facts in, decision out."""

from dataclasses import replace

import pytest

from models.errors import AppError, InboxFull, RecipientUnavailable
from models.rules import SendPolicy, can_receive_in_group, check_can_send
from models.user import Recipient, UserId

POLICY = SendPolicy(
    max_pixels=1, ttl_seconds=60, allow_opaque=False, max_pending=3, max_pending_bytes=100, friends_only=False
)
FRIENDS_ONLY = replace(POLICY, friends_only=True)
SOMEBODY = Recipient(
    UserId(1),
    has_way_in=True,
    disabled_at=None,
    pending_count=2,
    pending_bytes=90,
    blocks_sender=False,
    is_friend=False,
)
FRIEND = replace(SOMEBODY, is_friend=True)


def test_an_image_goes_to_somebody_with_room_for_it() -> None:
    check_can_send(SOMEBODY, 10, POLICY)
    check_can_send(FRIEND, 10, FRIENDS_ONLY)
    assert can_receive_in_group(SOMEBODY, 10, FRIENDS_ONLY)


def test_a_text_needs_no_room() -> None:
    full = replace(SOMEBODY, pending_count=3, pending_bytes=100)
    check_can_send(full, None, POLICY)
    assert can_receive_in_group(full, None, POLICY)
    assert not can_receive_in_group(full, 0, POLICY)


def test_a_text_goes_to_nobody_else() -> None:
    for recipient in (None, replace(SOMEBODY, disabled_at=5), replace(FRIEND, blocks_sender=True)):
        with pytest.raises(RecipientUnavailable):
            check_can_send(recipient, None, POLICY)
    with pytest.raises(RecipientUnavailable):
        check_can_send(SOMEBODY, None, FRIENDS_ONLY)
    assert not can_receive_in_group(replace(FRIEND, blocks_sender=True), None, POLICY)


@pytest.mark.parametrize(
    ("recipient", "policy", "error"),
    [
        (None, POLICY, RecipientUnavailable),
        (replace(SOMEBODY, disabled_at=5), POLICY, RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False), POLICY, RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False, pending_count=3), POLICY, RecipientUnavailable),
        (replace(FRIEND, blocks_sender=True, pending_count=3), POLICY, RecipientUnavailable),
        (replace(SOMEBODY, pending_count=3), FRIENDS_ONLY, RecipientUnavailable),
        (replace(SOMEBODY, pending_count=3), POLICY, InboxFull),
        (replace(SOMEBODY, pending_bytes=91), POLICY, InboxFull),
        (replace(FRIEND, pending_count=3), FRIENDS_ONLY, InboxFull),
    ],
)
def test_an_image_goes_to_nobody_else(recipient: Recipient | None, policy: SendPolicy, error: type[AppError]) -> None:
    with pytest.raises(error):
        check_can_send(recipient, 10, policy)
