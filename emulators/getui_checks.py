# SPDX-License-Identifier: Apache-2.0
"""The form of what GeTui's REST API V2 takes: https://docs.getui.com/getui/server/rest_v2/push/.

The names of fields are those of GeTui's own client (github.com/GetuiLaboratory/getui-pushapi-java-client-v2); where
both are silent, the stricter reading.
"""

import json
from collections.abc import Collection
from typing import Any

Answer = tuple[int, dict[str, Any]]

TTL_MS = range(-1, 259_200_001)
TRANSMISSION_CHARACTERS = 3072
NOTIFICATION_LIMITS = {"title": 50, "body": 256, "big_text": 512, "intent": 4096, "url": 1024, "payload": 3072}
CLICK_TYPES = {"intent", "url", "payload", "payload_custom", "startapp", "none"}
HARMONY_CLICK_TYPES = {"want", "payload", "startapp"}
CHANNELS = ("transmission", "notification", "revoke")
PUSH_FIELDS = {"request_id", "task_name", "group_name", "settings", "audience", "push_message", "push_channel"}
TASK_NAME_CHARACTERS = 40
GROUP_NAME_CHARACTERS = 100
# What a push to many may name in place of single targets.
MANY: dict[str, type[str] | type[list[Any]]] = {"tag": list, "fast_custom_tag": str}


class Refused(Exception):
    """The vendor says no: HTTP status, code and message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, {"code": code, "msg": message})


def bad(message: str) -> Refused:
    """The vendor's word on a parameter."""
    return Refused(400, 20001, message)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a call. Raises Refused."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refused(200, 1, "body is not json")
    return document


def check_single(push: Any, by: str) -> str:
    """Check a push to one target, which is named `by` "cid" or "alias"; the target. Raises Refused."""
    check_push(push, request_id=True)
    names = check_targets(push.get("audience"), by, 1)
    return names[0]


def check_targets(audience: Any, by: str, most: int) -> list[str]:
    """The targets of a push. Raises Refused."""
    names = audience.get(by) if isinstance(audience, dict) else None
    if not isinstance(names, list) or not 1 <= len(names) <= most:
        raise bad(f"{by} is invalid")
    if any(not isinstance(name, str) or not name for name in names):
        raise bad(f"{by} is invalid")
    return names


def check_many(audience: Any) -> str:
    """What a push to many is kept under: `all`, or its tags. Raises Refused."""
    if audience == "all":
        return "all"
    if not isinstance(audience, dict) or len(audience) != 1:
        raise bad("audience is invalid")
    [(name, value)] = audience.items()
    if name not in MANY or not isinstance(value, MANY[name]) or not value:
        raise bad("audience is invalid")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_push(push: Any, *, request_id: bool) -> None:
    """Check one push's form but for its audience. Raises Refused."""
    if not isinstance(push, dict):
        raise bad("msg_list is invalid")
    unknown = sorted(set(push) - PUSH_FIELDS)
    if unknown:
        raise bad(f"{unknown[0]} is invalid")
    identity = push.get("request_id")
    if (request_id or identity is not None) and not (isinstance(identity, str) and 10 <= len(identity) <= 32):
        raise bad("request_id is invalid")
    for name, longest in (("task_name", TASK_NAME_CHARACTERS), ("group_name", GROUP_NAME_CHARACTERS)):
        if not isinstance(push.get(name, ""), str) or len(push.get(name, "")) > longest:
            raise bad(f"{name} is invalid")
    _check_settings(push.get("settings", {}))
    _check_message(push.get("push_message"))
    _check_channel(push.get("push_channel", {}))


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, dict):
        raise bad("settings type error")
    ttl = settings.get("ttl", 0)
    if type(ttl) is not int or ttl not in TTL_MS:
        raise bad("ttl is invalid")
    strategy = settings.get("strategy", {})
    if not isinstance(strategy, dict) or any(type(n) is not int or n not in range(1, 5) for n in strategy.values()):
        raise bad("strategy is invalid")


def _check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise bad("push_message can not be empty")
    chosen = [name for name in CHANNELS if name in message]
    if len(chosen) != 1:
        raise bad("please choose one of notification and transmission and revoke")
    content = message[chosen[0]]
    if chosen == ["transmission"]:
        if not isinstance(content, str) or not content:
            raise bad("transmission is invalid")
        if len(content) > TRANSMISSION_CHARACTERS:
            raise bad("transmission size over limit")
    elif chosen == ["notification"]:
        _check_notification(content)


def _check_notification(notification: Any, click_types: Collection[str] = CLICK_TYPES) -> None:
    if not isinstance(notification, dict):
        raise bad("notification type error")
    for name in ("title", "body"):
        if not notification.get(name):
            raise bad(f"{name} can not be empty")
    for name, limit in NOTIFICATION_LIMITS.items():
        if len(str(notification.get(name, ""))) > limit:
            raise bad(f"{name} size over limit")
    if notification.get("click_type") not in click_types:
        raise bad("click_type is invalid")


def _check_channel(channel: Any) -> None:
    if not isinstance(channel, dict) or not set(channel) <= {"android", "ios", "harmony"}:
        raise bad("push_channel is invalid")
    if "android" in channel:
        ups = channel["android"].get("ups") if isinstance(channel["android"], dict) else None
        if not isinstance(ups, dict) or len(ups.keys() & set(CHANNELS)) != 1:
            raise bad("ups is invalid")
        if "notification" in ups:
            _check_notification(ups["notification"])
    if "harmony" in channel:
        harmony = channel["harmony"]
        if not isinstance(harmony, dict) or len(harmony.keys() & {*CHANNELS, "custom"}) != 1:
            raise bad("harmony is invalid")
        if "notification" in harmony:
            _check_notification(harmony["notification"], HARMONY_CLICK_TYPES)
    if "ios" in channel:
        kind = channel["ios"].get("type", "notify") if isinstance(channel["ios"], dict) else None
        if kind not in ("notify", "voip", "liveactivity"):
            raise bad("ios type is invalid")
