# SPDX-License-Identifier: Apache-2.0
"""The same app in Firefox: a text and a picture from one person to another."""

import os
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.harness import Server, phone_number
from tests.web.firefox import PROGRAM, Firefox, Tab, firefox
from tests.web.scenery import hills

pytestmark = pytest.mark.only_on("sqlite")

if PROGRAM is None:
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("Firefox is not installed (make test-deps), which is a failure in CI")
    pytest.skip("Firefox is not installed (make test-deps)", allow_module_level=True)

CHOOSE = """document.querySelector('gl-composer').add(
  [new File([Uint8Array.from(atob('BYTES'), (each) => each.charCodeAt(0))], 'hills.jpg', {type: 'image/jpeg'})])"""


def register(browser: Firefox, server: Server, name: str, number: str) -> Tab:
    tab = browser.new_person(f"http://127.0.0.1:{server.port}/")
    tab.fill("nickname", name)
    tab.fill("region", "CN")
    tab.fill("phone_num", number)
    tab.click("Begin")
    tab.see("No chats yet")
    return tab


def test_a_text_and_a_picture_arrive(server: Server, tmp_path: Path) -> None:
    number, profile = phone_number(), tmp_path / "profile"
    profile.mkdir()
    with firefox(profile) as browser:
        ann, ben = register(browser, server, "Ann", phone_number()), register(browser, server, "Ben", number)
        ann.click("Find people")
        ann.fill("region", "CN")
        ann.fill("phone_num", number)
        ann.click("Find")
        ann.click("Open chat")
        ann.fill("text", "Hello from the fox")
        ann.click("Send")
        ben.see("Hello from the fox")
        ben.run("document.querySelector('.chat').click()")
        ann.run(CHOOSE.replace("BYTES", b64encode(hills(tmp_path / "hills.jpg").read_bytes()).decode()))
        ann.until("document.querySelectorAll('.picked img').length === 1")
        ann.click("Send")
        ann.see("Not seen yet")
        ben.click("Tap to see it once")
        ben.see("It is gone from the server")
        ann.see("Seen, and gone")
        assert browser.complaints == []
