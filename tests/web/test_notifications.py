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
SUBSCRIBE = """(subscription) => {
  PushManager.prototype.subscribe = async () => subscription;
  PushManager.prototype.getSubscription = async () => ({...subscription, unsubscribe: async () => true});
}"""
"""What the browser's own push service would give; Debian's has none to ask."""
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  const shown = await registration.getNotifications();
  return shown.map(({body, tag, silent, data}) => ({body, tag, silent, open: data.open}));
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


def test_a_picture_is_notified_in_words_and_the_click_opens_its_chat(
    visit: Visit, push_service: tuple[PushVendor, dict[str, Any]], tmp_path: Path
) -> None:
    vendor, _ = push_service
    ann, ben = visit("Ann").register(), visit("Ben", permissions=["notifications"]).register()
    ann.find(ben.number)
    ann.write("Are you there?")
    expect(ben.page.locator(".chat .count")).to_have_text("1")
    public_key = ben.page.evaluate("async () => (await (await fetch('/v1/push/vapid')).json()).public_key")
    ben.page.evaluate(SUBSCRIBE, json.loads(vendor.token(1, public_key)))
    ben.place("Me")
    ben.page.get_by_label("Notify me in this browser").check()
    expect(
        ben.page.locator(".block", has_text="Devices that are notified").get_by_text("Browser", exact=True)
    ).to_be_visible()
    ann.choose(picture(tmp_path))
    ann.click("Send")
    wait_until(lambda: len(vendor.received()) == 1, what="the push")
    [told] = [item["text"] for items in vendor.ask("inbox").values() for item in items]
    session = ben.context.new_cdp_session(ben.page)
    registrations: list[dict[str, Any]] = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"]))
    session.send("ServiceWorker.enable")
    ben.page.evaluate("navigator.serviceWorker.ready")
    wait_until(lambda: bool(ben.page.evaluate("1") and registrations), what="the registration")
    session.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": ben.origin, "registrationId": registrations[0]["registrationId"], "data": told},
    )
    wait_until(lambda: bool(ben.page.evaluate(SHOWN)), what="the notification")
    [shown] = ben.page.evaluate(SHOWN)
    uid = json.loads(told)["sender_uid"]
    assert shown == {"body": "Ann sent a picture", "tag": str(uid), "silent": False, "open": f"#/chats/{uid}"}
    [worker] = ben.context.service_workers
    worker.evaluate("""async () => {
      const [notification] = await registration.getNotifications();
      dispatchEvent(new NotificationEvent('notificationclick', {notification}));
    }""")
    expect(ben.page.get_by_role("main").get_by_role("heading", name="Ann")).to_be_visible()
    assert ben.page.evaluate(SHOWN) == []
    ben.place("Me")
    ben.click(ben.button("End this device"))
    expect(ben.page.get_by_text("Devices that are notified")).to_have_count(0)
