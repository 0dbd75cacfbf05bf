# SPDX-License-Identifier: Apache-2.0
"""The page of the interface: calls are made from it with a credential of the reader's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.harness import Server
from tests.web.browsing import Visitor, picture, violations

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")


def test_a_picture_is_sent_and_fetched_from_the_page(visit: Visit, server: Server, tmp_path: Path) -> None:
    ann, ben, reader = server.register("Ann"), server.register("Ben"), visit("reader")
    page = reader.page
    page.goto(f"{reader.origin}/docs")
    page.get_by_label("Call as").select_option("basic")

    def sign_in(phone_hash: str, ukey: str) -> None:
        page.locator("#credential").get_by_role("textbox", name="phone_hash").fill(phone_hash)
        page.locator("#credential").get_by_role("textbox", name="ukey").fill(ukey)

    sign_in(ann.phone_hash, ann.ukey)
    sending = page.locator("#sendImage")
    sending.get_by_text("Try it").click()
    sending.get_by_label("receiver_uid").fill(str(ben.uid))
    sending.get_by_label("img_file").set_input_files(picture(tmp_path))
    sending.get_by_role("button", name="POST /v1/images").click()
    expect(sending.locator(".status")).to_have_text("201 Created")
    [key] = [
        line.removeprefix("message-key: ")
        for line in sending.locator(".outcome pre").first.inner_text().splitlines()
        if line.startswith("message-key: ")
    ]
    sign_in(ben.phone_hash, ben.ukey)
    fetching = page.locator("#fetchImage")
    fetching.get_by_text("Try it").click()
    fetching.get_by_label("message_key").fill(key)
    fetching.get_by_label("ack").fill("manual")
    fetching.get_by_role("button", name="GET /v1/images/{message_key}").click()
    expect(fetching.get_by_role("img", name="What was answered")).to_be_visible()


def test_the_page_has_no_barrier(visit: Visit) -> None:
    reader = visit("reader")
    reader.page.goto(f"{reader.origin}/docs")
    reader.page.locator("#sendImage").get_by_text("Try it").click()
    expect(reader.page.locator("#sendImage").get_by_label("img_file")).to_be_visible()
    assert violations(reader.page) == []


def test_a_call_in_json_begins_with_the_example(visit: Visit, server: Server) -> None:
    ann, reader = server.register("Ann"), visit("reader")
    page = reader.page
    page.goto(f"{reader.origin}/docs")
    page.get_by_label("Call as").select_option("basic")
    page.locator("#credential").get_by_role("textbox", name="phone_hash").fill(ann.phone_hash)
    page.locator("#credential").get_by_role("textbox", name="ukey").fill(ann.ukey)
    changing = page.locator("#patchMe")
    changing.get_by_text("Try it").click()
    changing.get_by_label("body (JSON)").fill('{"nickname": "Anna"}')
    changing.get_by_role("button", name="PATCH /v1/me").click()
    expect(changing.locator(".outcome pre").last).to_contain_text('"nickname": "Anna"')


def test_the_front_doors_for_sample_clients_stand_by_themselves(visit: Visit) -> None:
    reader = visit("reader")
    reader.page.goto(f"{reader.origin}/docs")
    title = reader.page.get_by_role("heading", name="Front doors for sample clients")
    errors, sample = reader.page.locator("#errors"), reader.page.locator("#roomLogIn")
    tops = [place.evaluate("it => it.getBoundingClientRect().top") for place in (errors, title, sample)]
    assert tops == sorted(tops)
