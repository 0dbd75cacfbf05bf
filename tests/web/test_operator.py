# SPDX-License-Identifier: Apache-2.0
"""The operator's page in a browser: a report handled, an account ended, pushes sent again, and all of it on record."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.process.scraping import free_port
from tests.support.engines import NewFolder
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import png
from tests.support.push_vendors import PushVendor, emulated
from tests.web.browsing import Visitor, visitor

pytestmark = pytest.mark.only_on("sqlite")
DOWN = {"base_url": "http://127.0.0.1:9", "app_id": "i", "app_key": "k", "master_secret": "s"}
"""GeTui as nobody answers for it."""


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def fcm(new_folder: NewFolder) -> Iterator[tuple[PushVendor, dict[str, Any]]]:
    """The vendor's emulator, and the section `push` that leads there."""
    with emulated(new_folder("fcm"), ["fcm"]) as vendors:
        yield vendors.each["fcm"], vendors.push


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, port: int, fcm: tuple[PushVendor, dict[str, Any]]) -> Iterator[Server]:
    push = {**fcm[1], "getui": {"apps": {"down": DOWN}}}
    settings = {"limits": {"enabled": False}, "admin": {"port": port}, "push": push}
    with running(new_folder("operator"), settings) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def operator(browser: Browser, server: Server, port: int) -> Iterator[Visitor]:
    """Somebody who has come in."""
    with visitor(browser, f"http://127.0.0.1:{port}", "Olga") as operator:
        operator.page.goto(operator.origin)
        come_in(operator, (server.data_dir / "admin.token").read_text().strip())
        operator.page.get_by_role("heading", name="Health").wait_for()
        yield operator


def come_in(operator: Visitor, token: str) -> None:
    operator.page.get_by_label("Token").fill(token)
    operator.click("Come in")


def line(operator: Visitor, text: str) -> Locator:
    return operator.page.get_by_role("row").filter(has_text=text)


def test_nobody_comes_in_with_another_token_and_a_reload_asks_none(operator: Visitor) -> None:
    operator.page.reload()
    expect(operator.page.get_by_role("heading", name="Health")).to_be_visible()
    operator.click("Sign out")
    operator.forgiven = ("401 (Unauthorized)",)
    come_in(operator, "x" * 43)
    operator.see("That is not the token.")
    operator.page.reload()
    expect(operator.page.get_by_label("Token")).to_be_visible()


def test_a_report_is_handled_on_the_page(operator: Visitor, server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    message_id = int(ann.send(ben, png(64, 64)).headers["message-id"])
    reason = "rude <b>picture</b>"
    told = ben.request("POST", "/v1/reports", json={"message_id": message_id, "reason": reason}).json()
    operator.place("Reports")
    report = operator.page.get_by_role("article", name=f"Report {told['report_id']}")
    expect(report.get_by_text(reason)).to_be_visible()
    operator.click(report.get_by_role("button", name=re.compile("Show the picture")))
    shown = report.get_by_role("img")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    operator.click(report.get_by_role("button", name=f"Disable uid {ann.uid}"))
    operator.see(f"{ann.uid} is disabled now.")
    report.get_by_label("What was done").fill("disabled")
    operator.click(report.get_by_role("button", name="Resolve"))
    expect(report).to_have_count(0)
    operator.click(operator.page.get_by_label("Resolved ones too"))
    expect(report.get_by_text("disabled", exact=True)).to_be_visible()
    assert ann.request("GET", "/v1/me").status_code == 401
    operator.place("Audit")
    for act in ("reports show --picture", "users disable", "reports resolve"):
        expect(line(operator, act).first).to_be_visible()


def test_an_account_is_found_exported_and_ended(operator: Visitor, server: Server) -> None:
    eve = server.register("Eve Everywhere")
    operator.place("People")
    operator.page.get_by_role("searchbox").fill("everywhere")
    operator.click("Find")
    found = line(operator, "Eve Everywhere")
    expect(operator.page.get_by_role("row")).to_have_count(2)
    with operator.page.expect_download() as download:
        operator.click(found.get_by_role("button", name="Export"))
    assert json.loads(Path(download.value.path()).read_text())["profile"]["uid"] == eve.uid
    operator.click(found.get_by_role("button", name="Delete"))
    dialog = operator.page.get_by_role("dialog", name=f"Delete account {eve.uid}?")
    expect(dialog.get_by_text("credentials.uid: 1")).to_be_visible()
    operator.click(dialog.get_by_role("button", name="Cancel"))
    assert eve.request("GET", "/v1/me").status_code == 200
    operator.click(found.get_by_role("button", name="Delete"))
    operator.click(dialog.get_by_role("button", name="Delete for good"))
    operator.see("There is no such person.")
    assert eve.request("GET", "/v1/me").status_code == 401


def test_a_dead_provider_is_found_and_its_pushes_sent_again(operator: Visitor, server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    server.database.execute("UPDATE devices SET provider = 'getui' WHERE token = 'cid-ben'")
    for _ in range(3):
        ann.send(ben, png(1, 1))
    server.database.execute("UPDATE outbox SET state = 'dead', reason = 'rejected: bad key' WHERE provider = 'getui'")
    server.database.execute("UPDATE outbox SET settled_at = 1 WHERE state = 'dead'")
    operator.click("Look again")
    lane = line(operator, "getui").filter(has_text="not configured")
    expect(lane).to_be_visible()
    operator.click(lane.get_by_role("link", name="Notifications"))
    expect(line(operator, "rejected: bad key")).to_have_count(3)
    operator.click(line(operator, "rejected: bad key").first.get_by_role("button", name="Retry"))
    expect(line(operator, "dead")).to_have_count(2)
    operator.click("Retry all 2 dead of getui")
    operator.see("2 are sent again.")
    operator.click(line(operator, "due").first.get_by_role("button", name="Drop"))
    operator.click(operator.page.get_by_role("dialog").get_by_role("button", name="Drop"))
    expect(line(operator, "dropped by the operator")).to_have_count(1)


def look_until(operator: Visitor, lane: Locator, words: str) -> None:
    """Look again and again, until a provider's line says this."""

    def says() -> bool:
        operator.click("Look again")
        return lane.get_by_text(words).is_visible()

    wait_until(says, what=words, pause=0.2)


def test_why_a_breaker_is_open_is_shown(operator: Visitor, server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-down")
    server.database.execute("UPDATE devices SET provider = 'getui', app = 'down' WHERE token = 'cid-down'")
    for _ in range(5):
        ann.send(ben, png(1, 1))
    lane = line(operator, "getui/down")
    look_until(operator, lane, "open: asked no more")
    expect(lane.get_by_text(re.compile(r"since 20.*Z: auth: cannot connect"))).to_be_visible()


def test_a_provider_that_asked_for_a_pause_says_until_when(
    operator: Visitor, server: Server, fcm: tuple[PushVendor, dict[str, Any]]
) -> None:
    vendor, _ = fcm
    ann, ben = server.register("Ann"), server.register("Ben", cid=vendor.token(1), push_provider="fcm")
    vendor.tell("fault", kind="RESOURCE_EXHAUSTED")
    ann.send(ben, png(1, 1))
    lane = line(operator, "fcm")
    look_until(operator, lane, "paused")
    expect(lane.get_by_text(re.compile(r"left alone until 20.*Z, as it asked"))).to_be_visible()
    expect(lane.get_by_text("closed")).to_have_count(0)


def test_the_charts_move(operator: Visitor, server: Server) -> None:
    operator.place("Charts")
    requests = operator.page.get_by_role("figure", name=re.compile("^Requests"))
    expect(requests.locator("polyline")).to_have_count(1)
    ann, ben = server.register("Ann"), server.register("Ben")
    ann.send(ben, png(300, 300))
    stored = operator.page.get_by_role("figure", name=re.compile("^Stored images"))
    expect(stored).not_to_have_attribute("aria-label", re.compile(": 0 B$"))
    operator.place("Health")
    expect(operator.page.get_by_role("heading", name="Health")).to_be_visible()
