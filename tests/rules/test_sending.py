# SPDX-License-Identifier: Apache-2.0
"""To whom an image may go: facts in, decision out."""

from dataclasses import replace

import pytest

from models.errors import AppError, InboxFull, RecipientUnavailable
from models.rules import SendPolicy, check_can_send
from models.user import Recipient, UserId

POLICY = SendPolicy(max_pixels=1, max_ttl_seconds=60, allow_opaque=False, max_pending=3, max_pending_bytes=100)
SOMEBODY = Recipient(UserId(1), has_way_in=True, disabled_at=None, pending_count=2, pending_bytes=90)


def test_an_image_goes_to_somebody_with_room_for_it() -> None:
    assert check_can_send(SOMEBODY, 10, POLICY) is SOMEBODY


@pytest.mark.parametrize(
    ("recipient", "error"),
    [
        (None, RecipientUnavailable),
        (replace(SOMEBODY, disabled_at=5), RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False), RecipientUnavailable),
        (replace(SOMEBODY, has_way_in=False, pending_count=3), RecipientUnavailable),
        (replace(SOMEBODY, pending_count=3), InboxFull),
        (replace(SOMEBODY, pending_bytes=91), InboxFull),
    ],
)
def test_an_image_goes_to_nobody_else(recipient: Recipient | None, error: type[AppError]) -> None:
    with pytest.raises(error):
        check_can_send(recipient, 10, POLICY)
