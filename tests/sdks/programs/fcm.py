# SPDX-License-Identifier: Apache-2.0
"""firebase-admin: messages to every kind of target, by both of its transports, dry runs, refusals and topics."""

import asyncio
import datetime as dt

import firebase_admin
from exchange import failure, given, lead_httpx, lead_requests, tell
from firebase_admin import credentials, exceptions, messaging

hosts = {"fcm.googleapis.com": given["base_url"], "iid.googleapis.com": given["base_url"]}
lead_requests(hosts)
lead_httpx(hosts)
firebase_admin.initialize_app(credentials.Certificate(given["service_account_file"]))

full = messaging.Message(
    fid="fid-1",
    data={"message_id": "42"},
    notification=messaging.Notification(title="New message", body="Tap to open", image="https://example.org/a.png"),
    android=messaging.AndroidConfig(
        priority="high",
        ttl=dt.timedelta(seconds=3600),
        collapse_key="k",
        bandwidth_constrained_ok=True,
        restricted_satellite_ok=True,
        direct_boot_ok=True,
        notification=messaging.AndroidNotification(
            channel_id="c",
            sticky=True,
            priority="max",
            vibrate_timings_millis=[100, 200],
            event_timestamp=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            light_settings=messaging.LightSettings("#ff0000", 100, 200),
            visibility="public",
            notification_count=3,
            proxy="allow",
        ),
        fcm_options=messaging.AndroidFCMOptions(analytics_label="a"),
    ),
    apns=messaging.APNSConfig(
        headers={"apns-priority": "10"},
        payload=messaging.APNSPayload(messaging.Aps(alert=messaging.ApsAlert(title="t"), mutable_content=True)),
        fcm_options=messaging.APNSFCMOptions(analytics_label="a", image="https://example.org/a.png"),
    ),
    webpush=messaging.WebpushConfig(
        headers={"TTL": "60"},
        notification=messaging.WebpushNotification(title="t", actions=[messaging.WebpushNotificationAction("a", "b")]),
        fcm_options=messaging.WebpushFCMOptions(link="https://example.org"),
    ),
    fcm_options=messaging.FCMOptions(analytics_label="a"),
)


def refusal(token: str) -> dict[str, object]:
    """How a message to this token is refused."""
    try:
        messaging.send(messaging.Message(token=token))
    except exceptions.FirebaseError as error:
        return failure(error, "code")
    return {}


names = [
    messaging.send(full),
    messaging.send(messaging.Message(topic="news", data={"a": "b"})),
    messaging.send(messaging.Message(condition="'news' in topics")),
]
dry = messaging.send(messaging.Message(token="dry"), dry_run=True)
together = messaging.send_each([messaging.Message(token=token) for token in ("a", "gone")])
apart = asyncio.run(
    messaging.send_each_async([messaging.Message(token=token) for token in ("b", "gone")], dry_run=False)
)
many = messaging.send_each_for_multicast(messaging.MulticastMessage(fids=["f1", "f2"], data={"n": "1"}))
subscribed = messaging.subscribe_to_topic(["a", "gone"], "news")
left = messaging.unsubscribe_from_topic("a", "news")
tell(
    names=names,
    dry=dry,
    together=[one.success for one in together.responses],
    apart=[one.success for one in apart.responses],
    many=many.success_count,
    refusals={token: refusal(token) for token in given["refused"]},
    subscribed=[subscribed.success_count, subscribed.failure_count],
    left=left.success_count,
)
