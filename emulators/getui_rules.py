# SPDX-License-Identifier: Apache-2.0
"""What the GeTui emulator checks and keeps. It knows no HTTP: a JSON document in, a status and a document out.

The rules are those of GeTui's REST API V2; where its documentation is silent, the stricter reading.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from emulators.http import Clock, Faults

Answer = tuple[int, dict[str, Any]]

TOKEN_MS = 86_400_000
SKEW_MS = 600_000
AUTH_PER_MINUTE = 100
BATCH_LIMIT = 200
STATUS_LIMIT = 1000
TTL_MS = range(-1, 259_200_001)
TRANSMISSION_CHARACTERS = 3072
NOTIFICATION_LIMITS = {"title": 50, "body": 256, "big_text": 512, "intent": 4096, "url": 1024, "payload": 3072}
CLICK_TYPES = {"intent", "url", "payload", "payload_custom", "startapp", "none"}
CHANNELS = ("transmission", "notification", "revoke")
PUSH_FIELDS = {"request_id", "group_name", "settings", "audience", "push_message", "push_channel"}
STATUSES = {"online": "successed_online", "offline": "successed_offline", "stale": "successed_ignore"}
CID_STATES = (*STATUSES, "dead")


@dataclass(frozen=True, slots=True)
class Keys:
    """An app's keys. The defaults are fixed, public and for tests only."""

    app_id: str = "TESTAPPID0000000000000"
    app_key: str = "TESTAPPKEY0000000000AA"
    master_secret: str = field(default="TESTMASTERSECRET000001", repr=False)


class Refused(Exception):
    """The vendor says no: HTTP status, code and message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, {"code": code, "msg": message})


@dataclass
class GetuiState:
    """One emulated app: its tokens, targets and what each target received."""

    keys: Keys = field(default_factory=Keys)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, int] = field(default_factory=dict)
    auth_times: deque[int] = field(default_factory=deque)
    cids: dict[str, str] = field(default_factory=dict)
    strict: bool = False
    leave_out_dead: bool = False
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    request_ids: set[str] = field(default_factory=set)
    repeated: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def sign_in(self, body: bytes) -> Answer:
        """`POST /auth`."""
        now = self.clock.now()
        self._count_sign_in(now)
        document = _object(body)
        timestamp = str(document.get("timestamp"))
        wanted = hashlib.sha256(f"{self.keys.app_key}{timestamp}{self.keys.master_secret}".encode()).hexdigest()
        if document.get("appkey") != self.keys.app_key:
            raise _bad("appkey is invalid")
        if not re.fullmatch(r"[0-9]{13}", timestamp) or self.clock.skew(int(timestamp)) > SKEW_MS:
            raise _bad("timestamp is invalid")
        if not hmac.compare_digest(str(document.get("sign")).encode(), wanted.encode()):
            raise _bad("sign is invalid")
        token = secrets.token_hex(32)
        self.tokens[token] = now + TOKEN_MS
        return 200, {"code": 0, "msg": "success", "data": {"expire_time": str(now + TOKEN_MS), "token": token}}

    def check_token(self, token: str) -> None:
        if self.tokens.get(token, 0) <= self.clock.now():
            raise Refused(401, 10001, "token is invalid")

    def push_single(self, body: bytes) -> Answer:
        """`POST /push/single/cid`."""
        document = _object(body)
        self._check(document)
        return 200, {"code": 0, "msg": "", "data": self._deliver(document)}

    def push_batch(self, body: bytes) -> Answer:
        """`POST /push/single/batch/cid`: nothing is kept unless every one passes."""
        document = _object(body)
        pushes = document.get("msg_list")
        if not isinstance(pushes, list) or not 1 <= len(pushes) <= BATCH_LIMIT:
            raise _bad("msg_list size over limit")
        if not isinstance(document.get("is_async"), bool):
            raise _bad("is_async is invalid")
        kept = [push for push in pushes if self._check(push, dead_is_fatal=not self.leave_out_dead)]
        data: dict[str, Any] = {}
        for push in kept:
            data |= self._deliver(push)
        return 200, {"code": 0, "msg": "", "data": {} if document["is_async"] else data}

    def presence(self, cids: list[str]) -> Answer:
        """`GET /user/status/{cids}`; a dead one is left out."""
        if not 1 <= len(cids) <= STATUS_LIMIT:
            raise _bad("cid size over limit")
        data = {}
        for cid in cids:
            state = self.cids.get(cid, "dead" if self.strict else "online")
            if state != "dead":
                days = 100 if state == "stale" else 0
                last = self.clock.now() - days * TOKEN_MS
                data[cid] = {"last_login_time": str(last), "status": "online" if state == "online" else "offline"}
        return 200, {"code": 0, "msg": "", "data": data}

    def _count_sign_in(self, now: int) -> None:
        while self.auth_times and self.auth_times[0] <= now - 60_000:
            self.auth_times.popleft()
        if len(self.auth_times) >= AUTH_PER_MINUTE:
            raise Refused(401, 10003, "auth too frequent")
        self.auth_times.append(now)

    def _check(self, push: Any, *, dead_is_fatal: bool = True) -> bool:
        """Raise Refused for what the vendor refuses; False for a dead target where that is not fatal."""
        check_push(push)
        [cid] = push["audience"]["cid"]
        state = self.cids.get(cid, "dead" if self.strict else "online")
        if state == "dead" and dead_is_fatal:
            raise _bad("target user is invalid")
        return state != "dead"

    def _deliver(self, push: dict[str, Any]) -> dict[str, Any]:
        [cid] = push["audience"]["cid"]
        state = self.cids.get(cid, "online")
        task_id = f"RASS_{time.strftime('%m%d')}_{secrets.token_hex(16)}"
        request_id = push["request_id"]
        if request_id in self.request_ids:
            self.repeated[request_id] += 1
        elif state != "stale":
            self.inbox.setdefault(cid, []).append(
                {
                    "request_id": request_id,
                    "at": self.clock.now(),
                    "task_id": task_id,
                    "status": STATUSES[state],
                    "ttl": push.get("settings", {}).get("ttl"),
                    **push["push_message"],
                    "push_channel": push.get("push_channel"),
                }
            )
        self.request_ids.add(request_id)
        return {task_id: {cid: STATUSES[state]}}


def check_push(push: Any) -> None:
    """Check one push's form. Raises Refused."""
    if not isinstance(push, dict):
        raise _bad("msg_list is invalid")
    unknown = sorted(set(push) - PUSH_FIELDS)
    if unknown:
        raise _bad(f"{unknown[0]} is invalid")
    request_id = push.get("request_id")
    if not isinstance(request_id, str) or not 10 <= len(request_id) <= 32:
        raise _bad("request_id is invalid")
    audience = push.get("audience")
    cids = audience.get("cid") if isinstance(audience, dict) else None
    if not isinstance(cids, list) or len(cids) != 1 or not isinstance(cids[0], str) or not cids[0]:
        raise _bad("cid is invalid")
    _check_settings(push.get("settings", {}))
    _check_message(push.get("push_message"))
    _check_channel(push.get("push_channel", {}))


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, dict):
        raise _bad("settings type error")
    ttl = settings.get("ttl", 0)
    if type(ttl) is not int or ttl not in TTL_MS:
        raise _bad("ttl is invalid")
    strategy = settings.get("strategy", {})
    if not isinstance(strategy, dict) or any(type(n) is not int or n not in range(1, 5) for n in strategy.values()):
        raise _bad("strategy is invalid")


def _check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise _bad("push_message can not be empty")
    chosen = [name for name in CHANNELS if name in message]
    if len(chosen) != 1:
        raise _bad("please choose one of notification and transmission and revoke")
    content = message[chosen[0]]
    if chosen == ["transmission"]:
        if not isinstance(content, str) or not content:
            raise _bad("transmission is invalid")
        if len(content) > TRANSMISSION_CHARACTERS:
            raise _bad("transmission size over limit")
    elif chosen == ["notification"]:
        _check_notification(content)


def _check_notification(notification: Any) -> None:
    if not isinstance(notification, dict):
        raise _bad("notification type error")
    for name in ("title", "body"):
        if not notification.get(name):
            raise _bad(f"{name} can not be empty")
    for name, limit in NOTIFICATION_LIMITS.items():
        if len(str(notification.get(name, ""))) > limit:
            raise _bad(f"{name} size over limit")
    if notification.get("click_type") not in CLICK_TYPES:
        raise _bad("click_type is invalid")


def _check_channel(channel: Any) -> None:
    if not isinstance(channel, dict) or not set(channel) <= {"android", "ios", "harmony"}:
        raise _bad("push_channel is invalid")
    if "android" in channel:
        ups = channel["android"].get("ups") if isinstance(channel["android"], dict) else None
        if not isinstance(ups, dict) or len(ups.keys() & set(CHANNELS)) != 1:
            raise _bad("ups is invalid")
        if "notification" in ups:
            _check_notification(ups["notification"])
    if "harmony" in channel:
        harmony = channel["harmony"]
        if not isinstance(harmony, dict) or len(harmony.keys() & {*CHANNELS, "custom"}) != 1:
            raise _bad("harmony is invalid")
        if "notification" in harmony:
            _check_notification(harmony["notification"])
    if "ios" in channel:
        kind = channel["ios"].get("type", "notify") if isinstance(channel["ios"], dict) else None
        if kind not in ("notify", "voip", "liveactivity"):
            raise _bad("ios type is invalid")


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refused(200, 1, "body is not json")
    return document


def _bad(message: str) -> Refused:
    return Refused(400, 20001, message)
