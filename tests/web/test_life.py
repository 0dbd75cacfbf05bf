# SPDX-License-Identifier: Apache-2.0
"""Two people at two browsers: from the first page to a picture that was seen and is gone, and what goes beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.harness import Server, wait_until
from tests.web.browsing import Visitor, picture

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")
PHONE = {"width": 390, "height": 780}
CLICKS = 12


def test_a_picture_is_sent_seen_once_and_gone(visit: Visit, server: Server, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben", viewport=PHONE).register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ann.see("Not seen yet")
    ben.open_chat("Ann")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It is gone from the server")
    assert ann.clicks + ben.clicks <= CLICKS
    expect(ben.page.get_by_role("img", name="Picture from Ann")).to_be_visible()
    ann.see("Seen, and gone")
    wait_until(lambda: server.stored_files() == [])
    ben.click("Close")
    ben.see("You have seen this")
    expect(ben.page.locator(".viewer")).to_have_count(0)


def test_texts_go_both_ways_and_are_seen(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Look at https://example.org/x there")
    expect(ben.page.locator(".chat .count")).to_have_text("1")
    ben.open_chat("Ann")
    expect(ben.page.get_by_role("link", name="https://example.org/x", exact=True)).to_have_attribute(
        "rel", "noopener noreferrer nofollow"
    )
    expect(ann.page.locator(".message .seen")).to_have_count(1)
    ben.write("<b>bold</b>")
    ann.see("<b>bold</b>")
    ann.page.reload()
    ann.see("<b>bold</b>")
    expect(ann.page.locator(".message")).to_have_count(2)
