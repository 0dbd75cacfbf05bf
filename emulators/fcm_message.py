# SPDX-License-Identifier: Apache-2.0
"""The form of a message to FCM: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.

A field may be written as the reference does, `fcm_options`, or as proto3's JSON does, `fcmOptions`; null is as good as
left out. What the reference does not name is refused, but inside of what an app or a browser is handed as it is.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any]]

DATA_BYTES = 4096
LONGEST_TTL_SECONDS = 2_419_200
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
TARGETS = ("token", "fid", "topic", "condition")
TOPIC = re.compile(r"[a-zA-Z0-9-_.~%]{1,900}")
TOPICS = "/topics/"

# A message's fields. None: whatever stands there is the app's own.
Fields = dict[str, "Fields | None"]


def _plain(*names: str) -> Fields:
    return dict.fromkeys(names)


OPTIONS = _plain("analytics_label")
LIGHTS: Fields = {"color": _plain("red", "green", "blue", "alpha"), **_plain("light_on_duration", "light_off_duration")}
ANDROID_NOTIFICATION: Fields = {
    **_plain(
        *("title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "body_loc_args"),
        *("title_loc_key", "title_loc_args", "channel_id", "ticker", "sticky", "event_time", "local_only"),
        *("notification_priority", "default_sound", "default_vibrate_timings", "default_light_settings"),
        *("vibrate_timings", "visibility", "notification_count", "image", "bypass_proxy_notification", "proxy"),
    ),
    "light_settings": LIGHTS,
}
ANDROID: Fields = {
    **_plain("collapse_key", "priority", "ttl", "restricted_package_name", "data", "direct_boot_ok"),
    **_plain("bandwidth_constrained_ok", "restricted_satellite_ok"),
    "notification": ANDROID_NOTIFICATION,
    "fcm_options": OPTIONS,
}
MESSAGE: Fields = {
    **_plain("name", "data", *TARGETS),
    "notification": _plain("title", "body", "image"),
    "android": ANDROID,
    "webpush": {**_plain("headers", "data", "notification"), "fcm_options": _plain("link", "analytics_label")},
    "apns": {
        **_plain("headers", "payload", "live_activity_token"),
        "fcm_options": _plain("image", "analytics_label"),
    },
    "fcm_options": OPTIONS,
}
REQUEST: Fields = {"validate_only": None, "message": MESSAGE}


class Refused(Exception):
    """The vendor says no: HTTP status and document."""

    def __init__(self, status: int, document: dict[str, Any], message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, document)


@dataclass(frozen=True, slots=True)
class Message:
    """What a call asks for. `target` is a token, a Firebase installation, `/topics/…` or a condition.

    `content` is the message without its target, its fields named as in the reference.
    """

    target: str
    content: dict[str, Any] = field(repr=False)
    dry_run: bool = False


def read_message(body: bytes) -> Message:
    """What a call's body asks for. Raises Refused."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise bad_field("", "Invalid JSON payload received.")
    request = _known(document, REQUEST, "")
    message = request.get("message")
    if message is None:
        raise bad_field("message", "Message is required")
    dry_run = request.get("validate_only", False)
    if not isinstance(dry_run, bool):
        raise bad_field("validate_only", "Invalid value")
    target = _target(message)
    _check_data(message)
    _check_android(message.get("android", {}))
    return Message(target, {name: value for name, value in message.items() if name not in TARGETS}, dry_run)


def _known(document: Any, fields: Fields, path: str) -> dict[str, Any]:
    """The document with its fields' names in the reference's form and without those that are null. Raises Refused."""
    if not isinstance(document, dict):
        raise bad_field(path, "Invalid value")
    found: dict[str, Any] = {}
    for written, value in document.items():
        name = re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", written)
        place = f"{path}.{name}".lstrip(".")
        if name not in fields:
            raise bad_field(place, f'Unknown name "{written}": Cannot find field.')
        if name in found:
            raise bad_field(place, "Given twice")
        inner = fields[name]
        if value is not None:
            found[name] = value if inner is None else _known(value, inner, place)
    return found


def _target(message: dict[str, Any]) -> str:
    given = [name for name in TARGETS if name in message]
    if len(given) != 1:
        raise bad_field("message", "Exactly one of token, topic or condition is required")
    [name] = given
    target = message[name]
    if not isinstance(target, str) or not target:
        raise bad_field(f"message.{name}", "Invalid value")
    if name == "condition" and "in topics" not in target:
        raise bad_field("message.condition", "Invalid condition expression provided.")
    if name != "topic":
        return target
    topic = target.removeprefix(TOPICS)
    if not TOPIC.fullmatch(topic):
        raise bad_field("message.topic", "Invalid topic name")
    return TOPICS + topic


def _check_data(message: dict[str, Any]) -> None:
    data = message.get("data", {})
    if not isinstance(data, dict) or any(not isinstance(value, str) for value in data.values()):
        raise bad_field("message.data", "Every value is a string")
    for name in data:
        if name in {"from", "message_type"} or name.startswith(("google.", "gcm.")):
            raise bad_field(f"message.data.{name}", "Invalid data payload key")
    shown = message.get("notification", {})
    size = sum(len(str(name).encode()) + len(str(value).encode()) for name, value in [*data.items(), *shown.items()])
    if size > DATA_BYTES:
        raise error(400, "INVALID_ARGUMENT", "Message is too big", code="INVALID_ARGUMENT")


def _check_android(android: dict[str, Any]) -> None:
    if str(android.get("priority", "normal")).lower() not in {"normal", "high"}:
        raise bad_field("message.android.priority", "Invalid value")
    ttl = android.get("ttl", "0s")
    found = re.fullmatch(r"([0-9]{1,7})(\.[0-9]{1,9})?s", ttl) if isinstance(ttl, str) else None
    if found is None or int(found[1]) > LONGEST_TTL_SECONDS:
        raise bad_field("message.android.ttl", "Invalid duration")


def error(http: int, status: str, message: str, *, code: str = "") -> Refused:
    """An error as FCM words it; `code` is FCM's own, where it has one."""
    document: dict[str, Any] = {"code": http, "message": message, "status": status}
    if code:
        document["details"] = [{"@type": FCM_ERROR, "errorCode": code}]
    return Refused(http, {"error": document}, f"{code or status}: {message}")


def bad_field(name: str, description: str) -> Refused:
    """What FCM says of a field that it does not take."""
    refused = error(400, "INVALID_ARGUMENT", description, code="INVALID_ARGUMENT")
    violation = {"@type": BAD_REQUEST, "fieldViolations": [{"field": name, "description": description}]}
    refused.answer[1]["error"]["details"].append(violation)
    return refused
