# SPDX-License-Identifier: Apache-2.0
"""When things go wrong: no line, pictures that ended before they were opened, blocks, plain http, no socket."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.harness import Server
from tests.web.browsing import WITHOUT_SOCKET, Visitor, large_picture, picture, visitor

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")
NO_LINE = ("ERR_INTERNET_DISCONNECTED", "WebSocket")
"""What browsers themselves say on the console while there is no line."""


def test_what_is_sent_without_a_line_goes_when_it_is_back_and_once(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("First")
    ben.open_chat("Ann")
    ben.see("First")
    ann.page.evaluate("navigator.serviceWorker.ready")
    ann.forgiven = NO_LINE
    ann.context.set_offline(True)
    ann.see("No line. What you send goes when it is back.")
    ann.write("Second")
    ann.choose(picture(tmp_path))
    ann.click("Send")
    expect(ann.page.get_by_text("Goes when the line is back")).to_have_count(2)
    ann.page.reload()
    ann.see("First")
    expect(ann.page.get_by_text("Goes when the line is back")).to_have_count(2)
    ann.context.set_offline(False)
    ann.see("Not seen yet")
    ben.see("Tap to see it once")
    assert ben.page.locator(".message").all_inner_texts()[1].startswith("Second")
    ben.page.reload()
    expect(ben.page.locator(".message")).to_have_count(3)


def test_a_reply_that_is_lost_sends_nothing_twice(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    lost: list[str] = []

    def lose_first(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().text())
        route.abort()

    ann.forgiven = ("ERR_FAILED",)
    ann.page.route("**/v1/messages", lose_first)
    ann.write("Once")
    expect(ann.page.locator(".leaving")).to_have_count(0)
    ben.open_chat("Ann")
    ben.see("Once")
    expect(ben.page.locator(".message")).to_have_count(1)
    assert "message_id" in json.loads(lost[0])


def test_a_large_picture_goes_on_where_the_line_was_cut(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.forgiven = ("ERR_CONNECTION_RESET",)
    offsets: list[int] = []

    def cut_third(route: Route) -> None:
        if route.request.method == "PATCH":
            offsets.append(int(route.request.headers["upload-offset"]))
            if len(offsets) == 3:
                route.abort("connectionreset")
                return
        route.continue_()

    ann.page.route("**/v1/uploads/*", cut_third)
    ann.choose(large_picture(tmp_path))
    ann.click("Send")
    ann.see("Not seen yet")
    assert offsets[:4] == [0, 524288, 1048576, 1048576], "only what was lost goes again"
    ben.open_chat("Ann")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    expect(ben.page.get_by_role("img", name="Picture from Ann")).to_have_js_property("naturalWidth", 1000)


def test_a_picture_on_its_way_can_be_stopped_and_go_on(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    held: list[Route] = []

    def hold_second(route: Route) -> None:
        if route.request.headers.get("upload-offset") == "524288" and not held:
            held.append(route)
        else:
            route.continue_()

    ann.page.route("**/v1/uploads/*", hold_second)
    large = large_picture(tmp_path)
    size = large.stat().st_size
    ann.choose(large)
    with ann.page.expect_request(lambda request: request.headers.get("upload-offset") == "524288"):
        ann.click("Send")
    expect(ann.page.get_by_role("progressbar", name="Sending…")).to_have_js_property("value", 524288 / size)
    ann.click("Pause")
    ann.see("Paused")
    ann.page.reload()
    ann.see("Paused")
    ann.click("Go on")
    ann.see("Not seen yet")


def test_a_picture_that_was_taken_back_cannot_be_opened(visit: Visit, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ben.open_chat("Ann")
    ben.see("Tap to see it once")
    ann.page.locator(".message").hover()
    ann.click("More about this message")
    ann.click("Take it back unseen")
    ann.see("Taken back")
    ben.see("Taken back")
    expect(ben.page.get_by_role("button", name="Tap to see it once")).to_have_count(0)


def test_a_picture_that_waited_too_long_says_so(visit: Visit, server: Server, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.page.get_by_label("If nobody opens it").select_option("3600")
    ann.click("Send")
    ben.open_chat("Ann")
    ben.see("Tap to see it once")
    server.database.execute("UPDATE messages SET expires_at = send_time + 1 WHERE kind = 'image'")
    ben.forgiven = ("410 (Gone)",)
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It waited too long, and is gone.")
    ben.click("Close")
    ben.see("Expired")


def test_who_is_blocked_reaches_nobody_and_is_not_told(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Hello?")
    ben.open_chat("Ann")
    ben.see("Hello?")
    ben.click(ben.page.get_by_role("main").get_by_role("button", name="More", exact=True))
    ben.click("Block")
    ben.click(ben.page.get_by_role("dialog", name="Block Ann?").get_by_role("button", name="Block"))
    ben.place("People")
    expect(ben.page.locator(".block", has_text="Blocked").get_by_text("Ann")).to_be_visible()
    ann.write("Anybody there?")
    expect(ann.page.locator(".leaving")).to_have_count(0)
    ann.see("Anybody there?")
    expect(ben.page.locator(".chat .count")).to_have_count(0)
    with ben.page.expect_response(lambda reply: reply.request.method == "DELETE"):
        ben.click("Unblock")
    ann.write("And now?")
    expect(ben.page.locator(".chat .count")).to_have_text("1")


def test_a_person_is_reported_to_the_operator(visit: Visit, server: Server) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.write("Buy now!")
    ben.open_chat("Ann")
    ben.page.locator(".message").hover()
    ben.click("More about this message")
    ben.click("Report")
    ben.page.get_by_label("What is it?").select_option("spam")
    ben.click(ben.page.get_by_role("dialog").get_by_role("button", name="Report"))
    ben.see("The operator has your report.")
    assert server.database.rows("SELECT reason FROM reports WHERE message_id IS NOT NULL") == [("spam",)]


def test_a_picture_that_was_seen_is_reported_with_itself(visit: Visit, server: Server, tmp_path: Path) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ann.find(ben.number)
    ann.choose(picture(tmp_path))
    ann.click("Send")
    ben.open_chat("Ann")
    ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
    ben.see("It is gone from the server")
    ann.see("Seen, and gone")
    ben.click("Report")
    ben.page.get_by_label("What is it?").select_option("nudity")
    ben.click(ben.page.get_by_role("dialog", name="Report").get_by_role("button", name="Report"))
    ben.see("The operator has your report.")
    [(kept,)] = server.database.rows("SELECT COUNT(*) FROM report_pictures")
    assert kept == 1


def test_what_is_being_typed_stays_when_something_comes(visit: Visit) -> None:
    ann, ben, other = visit("Ann").register(), visit("Ben").register(), visit("Cat")
    ann.place("Me")
    ann.page.get_by_label("Your name").fill("Anna")
    ben.find(ann.number)
    ben.write("Hello")
    expect(ann.page.locator(".chat .count")).to_have_text("1")
    expect(ann.page.get_by_label("Your name")).to_have_value("Anna")
    ann.click("Save")
    ann.see("Saved.")
    other.page.goto(other.origin)
    other.page.get_by_label("Country").select_option("NZ")
    other.page.set_viewport_size({"width": 400, "height": 700})
    other.click("中文")
    other.see("用手机号开始")
    expect(other.page.get_by_label("国家或地区")).to_have_value("NZ")


def test_a_switch_stays_as_it_was_put_while_the_server_is_asked(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben").register()
    ben.find(ann.number)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PATCH":
            held.append(route)
        else:
            route.continue_()

    def released() -> Route:
        while not held:  # the request is told before the route is asked
            ann.page.evaluate("() => new Promise(requestAnimationFrame)")
        return held.pop()

    ann.page.route("**/v1/me", hold)
    ann.place("Me")
    found = ann.page.get_by_label("Be found by my number")
    with ann.page.expect_request(lambda request: request.method == "PATCH"):
        found.uncheck()
    ben.write("Are you there?")
    expect(ann.page.locator(".chat", has_text="Are you there?")).to_be_visible()
    expect(found).not_to_be_checked()
    released().continue_()
    ann.place("People")
    ann.place("Me")
    expect(found).not_to_be_checked()
    ann.forgiven = ("403 (Forbidden)",)
    with ann.page.expect_request(lambda request: request.method == "PATCH"):
        found.check()
    released().fulfill(status=403, json={"code": "forbidden"})
    ann.see("You may not do that.")
    expect(found).not_to_be_checked()


def test_where_no_socket_opens_events_come_by_long_poll(visit: Visit) -> None:
    ann, ben = visit("Ann").register(), visit("Ben")
    ben.page.add_init_script(WITHOUT_SOCKET)
    ben.register()
    ann.find(ben.number)
    ann.write("By the long way")
    ben.open_chat("Ann")
    ben.see("By the long way")
    ann.write("And again")
    ben.see("And again")


def test_plain_http_works_and_says_what_is_missing(server: Server, browser: Browser, tmp_path: Path) -> None:
    """By a name that is not this machine's, a browser has neither service worker nor locks."""
    with (
        visitor(browser, f"http://glimpse.test:{server.port}", "Ann") as ann,
        visitor(browser, f"http://glimpse.test:{server.port}", "Ben") as ben,
    ):
        for person in (ann, ben):
            person.register()
            assert (
                person.page.evaluate("[isSecureContext, 'locks' in navigator, 'serviceWorker' in navigator]")
                == [False] * 3
            )
        ann.find(ben.number)
        ann.choose(picture(tmp_path))
        ann.click("Send")
        ben.open_chat("Ann")
        ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
        ann.see("Seen, and gone")
        ben.click("Close")
        ben.place("Me")
        ben.see("This connection is not encrypted")
        ben.see("They need https.")
