# SPDX-License-Identifier: Apache-2.0
"""Notifications by Web Push: from the switch in the app over the push service to what the service worker shows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.engines import NewFolder
from tests.support.harness import Server, running, wait_until
from tests.support.push_vendors import PushVendor, emulated
from tests.web.browsing import Visitor, picture

Visit = Callable[..., Visitor]
pytestmark = pytest.mark.only_on("sqlite")
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1"
SUBSCRIBE = """(subscription) => {
  PushManager.prototype.subscribe = async () => subscription;
  PushManager.prototype.getSubscription = async () => ({...subscription, unsubscribe: async () => true});
}"""
"""What the browser's own push service would give; Debian's has none to ask."""
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  const shown = await registration.getNotifications();
  const told = shown.map(({body, tag, silent, data}) => ({body, tag, silent, open: data.open}));
  return told.sort((one, other) => (one.tag < other.tag ? -1 : 1));
}"""


@pytest.fixture(scope="module")
def push_service(new_folder: NewFolder) -> Iterator[tuple[PushVendor, dict[str, Any]]]:
    with emulated(new_folder("emulators"), ["webpush"]) as vendors:
        yield vendors.each["webpush"], vendors.push


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, push_service: tuple[PushVendor, dict[str, Any]]) -> Iterator[Server]:
    with running(new_folder("server"), {"limits": {"enabled": False}, "push": push_service[1]}) as server:
        yield server
        assert server.failures() == []


class Phone:
    """A person whose browser has said yes to notifications, and what its push service does and shows."""

    def __init__(self, visitor: Visitor, vendor: PushVendor) -> None:
        self.visitor, self.page, self.vendor = visitor, visitor.page, vendor
        self._session = visitor.context.new_cdp_session(visitor.page)
        self._registrations: list[dict[str, Any]] = []
        self._told: list[str] = []
        self._target = ""

    def turn_on(self) -> None:
        public_key = self.page.evaluate("async () => (await (await fetch('/v1/push/vapid')).json()).public_key")
        token = self.vendor.token(1, public_key)
        self._target = self.vendor.target_of(token)
        self.page.evaluate(SUBSCRIBE, json.loads(token))
        self._session.on("ServiceWorker.workerRegistrationUpdated", self._registered)
        self._session.send("ServiceWorker.enable")
        self.visitor.place("Me")
        self.page.get_by_label("Notify me in this browser").check()
        devices = self.page.locator(".block", has_text="Devices that are notified")
        expect(devices.get_by_text("Browser", exact=True)).to_be_visible()
        wait_until(lambda: bool(self.page.evaluate("1") and self._registrations), what="the registration")

    def _registered(self, event: dict[str, Any]) -> None:
        self._registrations.extend(event["registrations"])

    def deliver(self) -> dict[str, Any]:
        """The next push that the vendor has taken for it, handed to the browser; what it said."""
        wait_until(lambda: len(self._inbox()) > len(self._told), what="the push")
        told = self._inbox()[len(self._told)]
        self._told.append(told)
        registration = self._registrations[0]["registrationId"]
        push = {"origin": self.visitor.origin, "registrationId": registration, "data": told}
        self._session.send("ServiceWorker.deliverPushMessage", push)
        return dict(json.loads(told))

    def _inbox(self) -> list[str]:
        return [item["text"] for item in self.vendor.ask("inbox").get(self._target, [])]

    def until_shown(self, *expected: dict[str, Any]) -> None:
        by_tag = sorted(expected, key=lambda each: str(each["tag"]))
        wait_until(lambda: self.page.evaluate(SHOWN) == by_tag, what=f"{by_tag}")

    def in_worker(self, script: str) -> Any:
        """Evaluated in the service worker, which the browser may just have started again."""
        workers = self.visitor.context.service_workers
        return (workers[-1] if workers else self.visitor.context.wait_for_event("serviceworker")).evaluate(script)


def notification(uid: int, body: str, *, silent: bool = False) -> dict[str, Any]:
    return {"body": body, "tag": str(uid), "silent": silent, "open": f"#/chats/{uid}"}


@pytest.fixture
def ben(visit: Visit, push_service: tuple[PushVendor, dict[str, Any]]) -> Phone:
    vendor, _ = push_service
    return Phone(visit("Ben", permissions=["notifications"]).register(), vendor)


def test_a_picture_is_notified_in_words_and_the_click_opens_its_chat(visit: Visit, ben: Phone, tmp_path: Path) -> None:
    ann = visit("Ann").register()
    ann.find(ben.visitor.number)
    ann.write("Are you there?")
    expect(ben.page.locator(".chat .count")).to_have_text("1")
    ben.turn_on()
    ann.choose(picture(tmp_path))
    ann.click("Send")
    uid = ben.deliver()["sender_uid"]
    ben.until_shown(notification(uid, "Ann sent a picture"))
    ben.in_worker("""async () => {
      const [notification] = await registration.getNotifications();
      dispatchEvent(new NotificationEvent('notificationclick', {notification}));
    }""")
    expect(ben.page.get_by_role("main").get_by_role("heading", name="Ann")).to_be_visible()
    ben.until_shown()
    ben.visitor.place("Me")
    ben.visitor.click(ben.visitor.button("End this device"))
    expect(ben.page.get_by_text("Devices that are notified")).to_have_count(0)


def test_what_is_muted_makes_no_sound_and_no_number(visit: Visit, ben: Phone) -> None:
    """The browser's own badge is stood in for: Debian's has no icon to put a number on."""
    ann, cat = visit("Ann").register(), visit("Cat").register()
    for person in (ann, cat):
        person.find(ben.visitor.number)
        person.write("Hello")
    ben.visitor.open_chat("Cat")
    ben.visitor.click(ben.page.get_by_role("main").get_by_role("button", name="More", exact=True))
    ben.visitor.click("Mute")
    ben.turn_on()
    ben.in_worker("navigator.setAppBadge = async (number) => { globalThis.badge = number; }")
    cat.write("Are you there?")
    muted = notification(ben.deliver()["sender_uid"], "Cat wrote", silent=True)
    ben.until_shown(muted)
    app = ben.page.url
    ben.page.goto(f"{ben.visitor.origin}/docs")
    ann.write("And you?")
    loud = notification(ben.deliver()["sender_uid"], "Ann wrote")
    ben.until_shown(muted, loud)
    wait_until(lambda: ben.in_worker("globalThis.badge") == 1, what="the number")
    ben.page.goto(app)
    expect(ben.page).to_have_title("(2) Glimpse")
    ben.visitor.place("Chats")
    ben.visitor.open_chat("Ann")
    ben.until_shown(muted)
    expect(ben.page).to_have_title("Glimpse")
    ben.page.reload()
    expect(ben.page.locator(".chat", has_text="Cat").locator(".icon-mute")).to_be_visible()


def test_while_the_app_is_seen_its_own_number_stands(visit: Visit, ben: Phone) -> None:
    ann, cat = visit("Ann").register(), visit("Cat").register()
    for person in (ann, cat):
        person.find(ben.visitor.number)
        person.write("Hello")
    ben.turn_on()
    ben.in_worker("navigator.setAppBadge = async (number) => badges.push(number); globalThis.badges = []")
    ann.write("Are you there?")
    ben.deliver()
    wait_until(lambda: len(ben.page.evaluate(SHOWN)) == 1, what="the notification")
    ben.page.goto(f"{ben.visitor.origin}/docs")
    cat.write("And now?")
    ben.deliver()
    wait_until(lambda: 2 in ben.in_worker("globalThis.badges"), what="the number")
    assert ben.in_worker("globalThis.badges") == [2]


def test_an_iphone_is_told_to_put_the_app_on_its_home_screen_first(visit: Visit) -> None:
    """There, pages in the browser have no push; only an app on the home screen does."""
    ben = visit("Ben", user_agent=IPHONE)
    ben.page.add_init_script("delete globalThis.PushManager")
    ben.register()
    ben.place("Me")
    ben.see("first add Glimpse to the home screen: Share, then Add to Home Screen")
    expect(ben.page.get_by_label("Notify me in this browser")).to_have_count(0)
