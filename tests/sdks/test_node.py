# SPDX-License-Identifier: Apache-2.0
"""The vendors' own clients for Node against the emulators: what they send is taken, what they read is there."""

import pytest

from chat import agora_token
from chat.agora_token import BadToken, Kind
from tests.sdks.launching import Emulated, by_node

TOKEN, GONE = "ab" * 32, "cd" * 32


def test_firebase_admin(emulated: Emulated) -> None:
    for token, state in (("gone", "unregistered"), ("other", "other_sender"), ("bad", "malformed")):
        emulated.set("FCM", "token", token=token, state=state)
    found = by_node("fcm", **emulated.push("fcm"), refused=["gone", "other", "bad"])
    assert all(name.startswith("projects/emulated-project/messages/0:") for name in found["names"])
    assert found["dry"] == "projects/emulated-project/messages/fake_message_id"
    assert found["refusals"] == {
        "gone": "messaging/registration-token-not-registered",
        "other": "messaging/mismatched-credential",
        "bad": "messaging/invalid-argument",
    }
    assert (found["each"], found["many"]) == ([True, False], 2)
    assert (found["subscribed"], found["left"]) == ([1, 1], 1)
    inbox = emulated.shown("FCM", "inbox")
    assert sorted(inbox) == ["'news' in topics", "/topics/news", "a", "f1", "f2", "phone1"]
    assert inbox["phone1"][0]["fcm_options"] == {"analytics_label": "a"}


def test_node_apn(emulated: Emulated) -> None:
    emulated.set("APNs", "token", token=GONE, state="unregistered")
    found = by_node("node_apn", **emulated.push("apns"), token=TOKEN, gone=GONE)
    assert found["results"] == [*[[1, []]] * 4, [0, [[410, "Unregistered"]]]]
    kinds = [item["push-type"] for item in emulated.shown("APNs", "inbox")[TOKEN]]
    assert kinds == ["alert", "background", "pushtotalk", "widgets"]


def test_apns2(emulated: Emulated) -> None:
    emulated.set("APNs", "token", token=GONE, state="unregistered")
    found = by_node("apns2", **emulated.push("apns"), token=TOKEN, gone=GONE)
    assert found == {"reason": "Unregistered", "status": 410}
    visible, silent = emulated.shown("APNs", "inbox")[TOKEN]
    assert (visible["push-type"], visible["collapse-id"]) == ("alert", "k")
    assert (silent["push-type"], silent["payload"]["aps"]) == ("background", {"content-available": 1})


def test_web_push(emulated: Emulated) -> None:
    page = emulated.pages["Web Push"]
    mine, gone = (emulated.http.post(f"{page}/subscribe", json={}).json() for _ in range(2))
    emulated.set("Web Push", "subscription", id=gone["endpoint"].rpartition("/")[2], state="gone")
    found = by_node("web_push", mine=mine, gone=gone)
    assert found == {"statuses": [201, 201, 201], "gone": 410}
    items = emulated.shown("Web Push", "inbox")[mine["endpoint"].rpartition("/")[2]]
    assert [(item["text"], item["ttl"], item["topic"]) for item in items] == [
        ("hello", 2_419_200, None),
        ("again", 60, "a-b_c"),
        ("", 0, None),
    ]


def test_agora_token(emulated: Emulated) -> None:
    agora = emulated.config["chat"]["agora"]
    seconds, certificate = 600, agora["app_certificate"]
    found = by_node("agora", **agora, user="ann", channel="lobby", seconds=seconds)
    ours = {
        "chat_user": agora_token.chat_user("ann", seconds),
        "chat_app": agora_token.chat_app(seconds),
        "rtc": agora_token.rtc("lobby", 7, seconds, publisher=True),
        "viewer": agora_token.rtc("lobby", 7, seconds, publisher=False),
        "rtm": agora_token.rtm("ann", seconds),
    }
    for name, service in ours.items():
        assert agora_token.read(found[name], certificate).services == (service,), name
    with pytest.raises(BadToken, match="not known here"):
        agora_token.read(found["school"], certificate)
    users = f"{agora['base_url']}/{agora['org_name']}/{agora['app_name']}/users"
    account = [{"username": name, "password": "x"} for name in ("ann", "ben")]
    bearer = {"Authorization": f"Bearer {found['chat_app']}"}
    made = emulated.http.post(users, json=account, headers=bearer)
    assert (made.status_code, len({entity["uuid"] for entity in made.json()["entities"]})) == (200, 2)
    login = {"username": "ann", "token": found["chat_user"]}
    allowed = emulated.http.post(f"{emulated.pages['Agora']}/__login", json=login).json()
    assert allowed["services"] == {Kind.CHAT.name: [["ann"], {"1": seconds}]}
