# SPDX-License-Identifier: Apache-2.0
"""What a notification shows of an image: what the operator decides, and no more than a vendor takes."""

import json
from dataclasses import fields

import pytest

from models.db.tables.outbox import Claimed, Kind
from models.thumbnail_token import ThumbnailToken
from push.payload import LONGEST_WITH_PICTURE, Pictures, render

URL = "https://x.example"
BOTH = {"placeholder", "thumbnail_url"}


def claimed(**facts: object) -> Claimed:
    image: dict[str, object] = {
        "kind": Kind.MESSAGE.value,
        "provider": "fcm",
        "message_id": 42,
        "device_id": 7,
        "expires_at": 1000,
        "message_kind": "image",
        "placeholder": "1QcSHQRnh493",
        "preview_type": "jpeg",
        **facts,
    }
    return Claimed(**{each.name: image.get(each.name) for each in fields(Claimed)})  # type: ignore[arg-type]


def sign(token: ThumbnailToken) -> str:
    return f"{token.message_id}-{token.device_id}-{token.ends_at}"


def said(row: Claimed, picture: str | None, url: str = URL) -> dict[str, object]:
    rendered = render(row, lambda _: "", Pictures(picture=picture, public_url=url, sign=sign))
    document: dict[str, object] = json.loads(rendered)
    return {name: value for name, value in document.items() if name in BOTH}


@pytest.mark.parametrize("provider", ["getui", "fcm", "apns", "webpush", "ntfy", "webhook", "log"])
def test_what_is_not_decided_is_shown_where_the_vendor_cannot_read_it(provider: str) -> None:
    shown = said(claimed(provider=provider), None)
    assert shown.keys() == (BOTH if provider == "webpush" else set())
    for picture, told in (("none", set()), ("placeholder", {"placeholder"}), ("preview", BOTH)):
        assert said(claimed(provider=provider), picture).keys() == told


def test_the_address_is_for_this_message_this_device_and_its_time() -> None:
    assert said(claimed(), "preview")["thumbnail_url"] == f"{URL}/v1/thumbnails/42-7-1000"


def test_what_is_not_there_is_not_told() -> None:
    assert said(claimed(placeholder=None, preview_type=None), "preview") == {}
    assert said(claimed(), "preview", url="").keys() == {"placeholder"}


def test_what_a_vendor_would_not_take_goes_without() -> None:
    rest = len(render(claimed(), lambda _: "", Pictures(picture="preview", public_url="", sign=sign)))
    room = LONGEST_WITH_PICTURE - rest - len(',"thumbnail_url":"/v1/thumbnails/42-7-1000"')
    assert said(claimed(), "preview", url="u" * room).keys() == BOTH
    assert said(claimed(), "preview", url="u" * (room + 1)) == {}
