# SPDX-License-Identifier: Apache-2.0
"""What the GeTui emulator keeps. It knows no HTTP: a JSON document in, a status and a document out."""

import hashlib
import hmac
import re
import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from emulators.getui_checks import (
    Answer,
    Refused,
    bad,
    check_many,
    check_push,
    check_single,
    check_targets,
    read_object,
)
from emulators.http import Clock, Faults

TOKEN_MS = 86_400_000
SKEW_MS = 600_000
AUTH_PER_MINUTE = 100
BATCH_LIMIT = 200
LIST_LIMIT = 1000
STATUS_LIMIT = 1000
STATUSES = {"online": "successed_online", "offline": "successed_offline", "stale": "successed_ignore"}
CID_STATES = (*STATUSES, "dead")


@dataclass(frozen=True, slots=True)
class Keys:
    """An app's keys. The defaults are fixed, public and for tests only."""

    app_id: str = "TESTAPPID0000000000000"
    app_key: str = "TESTAPPKEY0000000000AA"
    master_secret: str = field(default="TESTMASTERSECRET000001", repr=False)


@dataclass
class GetuiState:
    """One emulated app: its tokens, targets and what each received. `aliases` go by cid, `messages` by their task."""

    keys: Keys = field(default_factory=Keys)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, int] = field(default_factory=dict)
    auth_times: deque[int] = field(default_factory=deque)
    cids: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
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
        document = read_object(body)
        timestamp = str(document.get("timestamp"))
        wanted = hashlib.sha256(f"{self.keys.app_key}{timestamp}{self.keys.master_secret}".encode()).hexdigest()
        if document.get("appkey") != self.keys.app_key:
            raise bad("appkey is invalid")
        if not re.fullmatch(r"[0-9]{13}", timestamp) or self.clock.skew(int(timestamp)) > SKEW_MS:
            raise bad("timestamp is invalid")
        if not hmac.compare_digest(str(document.get("sign")).encode(), wanted.encode()):
            raise bad("sign is invalid")
        token = secrets.token_hex(32)
        self.tokens[token] = now + TOKEN_MS
        return 200, {"code": 0, "msg": "success", "data": {"expire_time": str(now + TOKEN_MS), "token": token}}

    def check_token(self, token: str) -> None:
        if self.tokens.get(token, 0) <= self.clock.now():
            raise Refused(401, 10001, "token is invalid")

    def push_single(self, body: bytes, by: str) -> Answer:
        """`POST /push/single/cid` and `…/alias`."""
        push = read_object(body)
        target = check_single(push, by)
        return _success(self._deliver(push, self._living([target], by)))

    def push_batch(self, body: bytes, by: str) -> Answer:
        """`POST /push/single/batch/cid` and `…/alias`: nothing is kept unless every one passes."""
        document = read_object(body)
        pushes = document.get("msg_list")
        if not isinstance(pushes, list) or not 1 <= len(pushes) <= BATCH_LIMIT:
            raise bad("msg_list size over limit")
        is_async = _is_async(document)
        aimed = [(push, self._living([check_single(push, by)], by, strict=not self.leave_out_dead)) for push in pushes]
        data: dict[str, Any] = {}
        for push, cids in aimed:
            data |= self._deliver(push, cids) if cids else {}
        return _success({} if is_async else data)

    def create(self, body: bytes) -> Answer:
        """`POST /push/list/message`: keep what is said, for `push_list` to say to whom."""
        push = read_object(body)
        check_push(push, request_id=False)
        task = _new_task("RASL")
        self.messages[task] = push
        return _success({"taskid": task})

    def push_list(self, body: bytes, by: str) -> Answer:
        """`POST /push/list/cid` and `…/alias`; whoever is dead is left out."""
        document = read_object(body)
        push = self.messages.get(str(document.get("taskid")))
        if push is None:
            raise bad("taskid is invalid")
        names = check_targets(document.get("audience"), by, LIST_LIMIT)
        data = self._deliver(push, self._living(names, by, strict=False), task=str(document["taskid"]))
        return _success({} if _is_async(document) else data)

    def push_many(self, body: bytes, call: str) -> Answer:
        """`POST /push/all`, `/push/tag` and `/push/fast_custom_tag`. No phone of the emulator has a tag."""
        push = read_object(body)
        check_push(push, request_id=True)
        target = check_many(push.get("audience"))
        if (target == "all") != (call == "push/all"):
            raise bad("audience is invalid")
        cids = [cid for cid, state in self.cids.items() if state != "dead"] if target == "all" else []
        [task] = self._deliver(push, [target, *cids])
        return _success({"taskid": task})

    def bind(self, body: bytes, *, on: bool) -> Answer:
        """`POST` and `DELETE /user/alias`: a cid has one alias at most."""
        pairs = read_object(body).get("data_list")
        if not isinstance(pairs, list) or not 1 <= len(pairs) <= STATUS_LIMIT:
            raise bad("data_list size over limit")
        for pair in pairs:
            if not isinstance(pair, dict) or not all(isinstance(pair.get(name), str) for name in ("cid", "alias")):
                raise bad("data_list is invalid")
        for pair in pairs:
            if on:
                self.aliases[pair["cid"]] = pair["alias"]
            elif self.aliases.get(pair["cid"]) == pair["alias"]:
                del self.aliases[pair["cid"]]
        return _success({})

    def presence(self, cids: list[str]) -> Answer:
        """`GET /user/status/{cids}`; a dead one is left out."""
        if not 1 <= len(cids) <= STATUS_LIMIT:
            raise bad("cid size over limit")
        data = {}
        for cid in cids:
            state = self.cids.get(cid, "dead" if self.strict else "online")
            if state != "dead":
                days = 100 if state == "stale" else 0
                last = self.clock.now() - days * TOKEN_MS
                data[cid] = {"last_login_time": str(last), "status": "online" if state == "online" else "offline"}
        return _success(data)

    def _count_sign_in(self, now: int) -> None:
        while self.auth_times and self.auth_times[0] <= now - 60_000:
            self.auth_times.popleft()
        if len(self.auth_times) >= AUTH_PER_MINUTE:
            raise Refused(401, 10003, "auth too frequent")
        self.auth_times.append(now)

    def _living(self, names: list[str], by: str, *, strict: bool = True) -> list[str]:
        """The cids of these targets that are not dead. Raises Refused for one that is, if `strict`."""
        found: list[str] = []
        for name in names:
            cids = [cid for cid, alias in self.aliases.items() if alias == name] if by == "alias" else [name]
            living = [cid for cid in cids if self.cids.get(cid, "dead" if self.strict else "online") != "dead"]
            if strict and not living:
                raise bad("target user is invalid")
            found += living
        return found

    def _deliver(self, push: dict[str, Any], cids: list[str], *, task: str = "") -> dict[str, Any]:
        task = task or _new_task("RASS")
        statuses = {cid: STATUSES[self.cids.get(cid, "online")] for cid in cids}
        request_id = push.get("request_id")
        if request_id in self.request_ids:
            self.repeated[request_id] += 1
        else:
            for cid, status in statuses.items():
                if status != STATUSES["stale"]:
                    self.inbox.setdefault(cid, []).append(self._item(push, task, status))
        if request_id is not None:
            self.request_ids.add(request_id)
        return {task: statuses}

    def _item(self, push: dict[str, Any], task: str, status: str) -> dict[str, Any]:
        return {
            "request_id": push.get("request_id"),
            "at": self.clock.now(),
            "task_id": task,
            "status": status,
            "ttl": push.get("settings", {}).get("ttl"),
            **push["push_message"],
            "push_channel": push.get("push_channel"),
        }


def _success(data: dict[str, Any]) -> Answer:
    return 200, {"code": 0, "msg": "", "data": data}


def _new_task(kind: str) -> str:
    return f"{kind}_{time.strftime('%m%d')}_{secrets.token_hex(16)}"


def _is_async(document: dict[str, Any]) -> bool:
    """Whether the answer is to be given before anything is sent, and so without details; it need not be said."""
    is_async = document.get("is_async", False)
    if not isinstance(is_async, bool):
        raise bad("is_async is invalid")
    return is_async
