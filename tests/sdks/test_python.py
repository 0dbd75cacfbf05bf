# SPDX-License-Identifier: Apache-2.0
"""The vendors' own clients for Python against the emulators: what they send is taken, what they read is there."""

import json
import time

from push.webhook_signature import signed_headers, signing_key
from tests.sdks.launching import Emulated, by_python

TOKEN, GONE = "ab" * 32, "cd" * 32


def test_firebase_admin(emulated: Emulated) -> None:
    fcm = emulated.push("fcm")
    for token, state in (("gone", "unregistered"), ("other", "other_sender"), ("bad", "malformed")):
        emulated.set("FCM", "token", token=token, state=state)
    refused = ["gone", "other", "bad"]
    found = by_python("fcm", **fcm, refused=refused)
    assert all(name.startswith("projects/emulated-project/messages/0:") for name in found["names"])
    assert found["dry"] == "projects/emulated-project/messages/fake_message_id"
    assert (found["together"], found["apart"], found["many"]) == ([True, False], [True, False], 2)
    assert {token: refusal["error"] for token, refusal in found["refusals"].items()} == {
        "gone": "UnregisteredError",
        "other": "SenderIdMismatchError",
        "bad": "InvalidArgumentError",
    }
    assert (found["subscribed"], found["left"]) == ([1, 1], 1)
    inbox = emulated.shown("FCM", "inbox")
    assert sorted(inbox) == ["'news' in topics", "/topics/news", "a", "b", "f1", "f2", "fid-1"]
    assert inbox["fid-1"][0]["android"]["bandwidth_constrained_ok"] is True
    assert emulated.shown("FCM", "topics") == {"/topics/news": []}


def test_aioapns(emulated: Emulated) -> None:
    emulated.set("APNs", "token", token=GONE, state="unregistered")
    found = by_python("apns", **emulated.push("apns"), token=TOKEN, gone=GONE)
    assert found["results"] == [
        *[["200", None, True]] * 6,
        ["410", "Unregistered", False],
        ["400", "BadDeviceToken", False],
    ]
    kinds = [item["push-type"] for item in emulated.shown("APNs", "inbox")[TOKEN]]
    assert kinds == ["alert", "background", "voip", "complication", "mdm", "liveactivity"]


def test_pywebpush(emulated: Emulated) -> None:
    page = emulated.pages["Web Push"]
    mine, gone = (emulated.http.post(f"{page}/subscribe", json={}).json() for _ in range(2))
    emulated.set("Web Push", "subscription", id=gone["endpoint"].rpartition("/")[2], state="gone")
    found = by_python("webpush", mine=mine, gone=gone)
    assert [found[name] for name in ("plain", "long", "silent", "later")] == [201] * 4
    assert found["gone"]["error"] == "WebPushException"
    items = emulated.shown("Web Push", "inbox")[mine["endpoint"].rpartition("/")[2]]
    assert [(item["text"], item["ttl"], item["topic"]) for item in items] == [
        ("hello", 0, None),
        ("waiting", 2_592_000, "a-b_c"),
        ("", 0, None),
        ("again", 60, None),
    ]
    assert len(emulated.shown("Web Push", "violations")) == 1


def test_twilio(emulated: Emulated) -> None:
    twilio = emulated.config["sms"]["twilio"]
    key = {"api_key_sid": "SK0123456789abcdef0123456789abcdef", "api_key_secret": "emulated-key-secret"}
    found = by_python("twilio_sms", **twilio, **key)
    assert found["sent"][:2] == ["queued", "1"]
    assert found["sent"][2].endswith(".json")
    assert found["sent"][3:] == ["outbound-api", True]
    assert found["more"] == ["accepted", "0", twilio["account_sid"]]
    assert (found["fetched"], found["listed"]) == ("Your code is 123456", 2)
    assert [refusal["code"] for refusal in found["refusals"]] == [21211, 21614, 21611, 21617]
    assert found["stranger"] == {"error": "TwilioRestException", "code": 20003, "status": 401}
    assert sorted(emulated.shown("Twilio", "inbox")) == ["+14155552671", "+8613800138000"]


def test_alibabacloud_dysmsapi(emulated: Emulated) -> None:
    found = by_python("aliyun_sms", **emulated.config["sms"]["aliyun"])
    assert found["plain"] == [200, "OK", True, True]
    assert (found["later"], found["again"]) == ("OK", "isv.BUSINESS_LIMIT_CONTROL")
    assert found["unsigned"] == "isv.SMS_SIGNATURE_ILLEGAL"
    assert found["wrong"]["code"] == "SignatureDoesNotMatch"
    assert sorted(emulated.shown("Aliyun", "inbox")) == ["13800138000", "13800138001", "14155552671"]


def test_sendbird_platform_sdk(emulated: Emulated) -> None:
    found = by_python("sendbird", **emulated.config["chat"]["sendbird"])
    assert found["made"] == ["ann", "Ann", True]
    assert (found["viewed"], found["changed"], found["listed"]) == ("Ann", "Anna", 1)
    assert found["token"] == [True, True]
    assert (found["missing"]["status"], json.loads(found["missing"]["body"])["code"]) == (400, 400201)
    assert json.loads(found["stranger"]["body"])["code"] == 400401


def test_standardwebhooks_and_svix(emulated: Emulated) -> None:
    secret, body = emulated.push("webhook")["secret"], '{"message_id": 7}'
    headers = signed_headers(signing_key(secret), "msg_7", body.encode(), now=time.time_ns() // 1_000_000)
    hook = f"{emulated.pages['Webhook']}/hook/phone1"
    found = by_python("webhooks", secret=secret, hook=hook, body=body, headers=headers)
    assert (found["posted"], found["forged"]) == ([200, 200], 401)
    assert found["verified"] == ["standardwebhooks", "svix"]
    kept = [item["webhook_id"] for item in emulated.shown("Webhook", "inbox")["phone1"]]
    assert kept == ["msg_standardwebhooks", "msg_svix"]


def test_apprise(emulated: Emulated) -> None:
    emulated.set("ntfy", "token", topic="closed", token="tk_secret")
    found = by_python("ntfy", url=emulated.pages["ntfy"])
    assert found == {"plain": True, "closed": False, "opened": True}
    [message] = emulated.shown("ntfy", "inbox")["phone1"]
    message["tags"].sort()  # apprise keeps a set of them
    assert {name: message.get(name) for name in ("title", "message", "priority", "tags", "click")} == {
        "title": "你好 Ann",
        "message": "New message",
        "priority": 4,
        "tags": ["skull", "tada"],
        "click": "https://example.org",
    }
