# SPDX-License-Identifier: Apache-2.0
"""What the ntfy emulator checks and keeps. It knows no HTTP: a topic, a body and named values in, a message out.

The rules are those of ntfy's own server (github.com/binwiederhier/ntfy, server/server.go); what a message may say is at
https://docs.ntfy.sh/publish/.
"""

import base64
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulators.http import Clock, Faults

MESSAGE_BYTES = 4096
JSON_BYTES = 2 * MESSAGE_BYTES
KEPT_SECONDS = 43_200
DELAY_SECONDS = range(10, 3 * 86_400 + 1)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TOPIC = "[-_A-Za-z0-9]{1,64}"
RESERVED = {"docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1"}
# The names under which a header or a part of the query may give each value; those of a JSON document are the first.
NAMES = {
    "title": ("title", "x-title", "t"),
    "message": ("message", "x-message", "m"),
    "priority": ("priority", "x-priority", "prio", "p"),
    "tags": ("tags", "x-tags", "tag", "ta"),
    "click": ("click", "x-click"),
    "icon": ("icon", "x-icon"),
    "attach": ("attach", "x-attach", "a"),
    "filename": ("filename", "x-filename", "file", "f"),
    "actions": ("actions", "x-actions", "action"),
    "delay": ("delay", "x-delay", "x-at", "at", "x-in", "in"),
    "email": ("email", "x-email", "x-e-mail", "e-mail", "mail", "e"),
    "call": ("call", "x-call"),
    "markdown": ("markdown", "x-markdown", "md"),
    "cache": ("cache", "x-cache"),
    "firebase": ("firebase", "x-firebase"),
    "up": ("up", "x-unifiedpush", "unifiedpush"),
}
FIELDS = {"topic", *NAMES} - {"up"}
PRIORITIES = {"1": 1, "min": 1, "2": 2, "low": 2, "3": 3, "default": 3, "4": 4, "high": 4}
PRIORITIES |= {"5": 5, "max": 5, "urgent": 5}
# RFC 9218 has a header of the same name, which browsers send by themselves.
PRIORITY_OF_HTTP = re.compile(r"u=\d(,\s*(i|\d))?")
ACTIONS = {"view", "broadcast", "http"}
TRUE = {"1", "yes", "true"}
ERRORS = {
    40001: "e-mail notifications are not enabled",
    40004: "invalid delay parameter: unable to parse delay",
    40005: "invalid delay parameter: too small, please refer to the docs",
    40006: "invalid delay parameter: too large, please refer to the docs",
    40007: "invalid priority parameter",
    40009: "invalid request: topic invalid",
    40010: "invalid request: topic name is not allowed",
    40011: "invalid request: message must be UTF-8 encoded",
    40013: "invalid request: attachment URL is invalid",
    40014: "invalid request: attachments not allowed",
    40017: "invalid request: request body must be message JSON",
    40018: "invalid request: actions invalid",
    40021: "invalid request: icon URL is invalid",
    40032: "invalid request: calling is disabled",
    40101: "unauthorized",
    40301: "forbidden",
    41301: "attachment too large, or bandwidth limit reached",
    41303: "JSON body too large",
    42901: "limit reached: too many requests",
    42904: "limit reached: the total number of topics on the server has been reached, please contact the admin",
    42905: "limit reached: daily bandwidth reached",
    42908: "limit reached: daily message quota reached",
    42909: "limit reached: too many auth failures",
    50001: "internal server error",
    50701: "cannot publish to UnifiedPush topic without previously active subscriber",
}
# What a value is by name, empty where it is not given.
Read = Callable[[str], str]


class Refused(Exception):
    """The server says no."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        status = code // 100
        self.answer = (status, {"code": code, "http": status, "error": ERRORS[code], "link": "https://ntfy.sh/docs/"})


class Gone(Exception):
    """Another distributor of UnifiedPush says that the app of this endpoint is not there any more."""

    answer = (410, {"error": "gone"})


@dataclass
class NtfyState:
    """One emulated server.

    `tokens` are what closed topics ask for; `deserted` topics never had a subscriber; `gone` ones are of apps that are
    gone, which ntfy never says and other distributors of UnifiedPush do.
    """

    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, str] = field(default_factory=dict)
    deserted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    retry_after: int | None = None
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def publish(self, topic: str, body: bytes, authorization: str, read: Read) -> dict[str, Any]:
        """Keep a message and describe it. Raises Refused, Gone."""
        if not re.fullmatch(TOPIC, topic):
            raise Refused(40009)
        if topic in RESERVED:
            raise Refused(40010)
        self._check_token(topic, authorization)
        if topic in self.gone:
            raise Gone
        unified = is_true(read("up"))
        if unified and topic in self.deserted:
            raise Refused(50701)
        now = self.clock.now()
        said = read_options(read)
        due = now // 1000 + _delay(read("delay"), now // 1000)
        found = {
            "id": secrets.token_urlsafe(9),
            "time": due,
            "expires": due + KEPT_SECONDS,
            "event": "message",
            "topic": topic,
            **said,
            **_text(body, read("message"), unified=unified),
        }
        self.inbox.setdefault(topic, []).append(found | {"at": now})
        return found

    def publish_json(self, body: bytes, authorization: str, read: Read) -> dict[str, Any]:
        """`POST /`: the topic stands in the document; what it does not say, `read` may. Raises Refused, Gone."""
        if len(body) > JSON_BYTES:
            raise Refused(41303)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(40017) from None
        if not isinstance(document, dict) or document.keys() - FIELDS:
            raise Refused(40017)
        values = {name: _written(value) for name, value in document.items() if value is not None}
        message, topic = values.get("message", ""), values.get("topic", "")
        return self.publish(topic, message.encode(), authorization, lambda name: values.get(name) or read(name))

    def _check_token(self, topic: str, authorization: str) -> None:
        wanted = self.tokens.get(topic)
        if wanted and not authorization:
            raise Refused(40301)
        if wanted and not secrets.compare_digest(authorization.encode(), f"Bearer {wanted}".encode()):
            raise Refused(40101)


def read_options(read: Read) -> dict[str, Any]:
    """All that a message says beside its text. Raises Refused."""
    if read("email"):
        raise Refused(40001)
    if read("call"):
        raise Refused(40032)
    if read("filename") and not read("attach"):
        raise Refused(40014)
    found: dict[str, Any] = {
        "title": read("title"),
        "priority": _priority(read("priority")),
        "tags": [tag.strip() for tag in read("tags").split(",") if tag.strip()],
        "click": read("click"),
        "icon": _url(read("icon"), 40021),
        "actions": _actions(read("actions")),
        "content_type": "text/markdown" if is_true(read("markdown")) else "",
    }
    if read("attach"):
        url = _url(read("attach"), 40013)
        found["attachment"] = {"name": read("filename") or url.rpartition("/")[2] or "attachment", "url": url}
    return {name: value for name, value in found.items() if value}


def is_true(value: str) -> bool:
    return value.lower() in TRUE


def _text(body: bytes, message: str, *, unified: bool) -> dict[str, str]:
    """The message's text: the body where there is one."""
    if len(body) > MESSAGE_BYTES:
        raise Refused(40014)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        if not unified:
            raise Refused(40014) from None
        return {"message": base64.b64encode(body).decode(), "encoding": "base64"}
    return {"message": (text if unified else text.strip()) or message.replace("\\n", "\n") or "triggered"}


def _priority(text: str) -> int:
    if not text or PRIORITY_OF_HTTP.fullmatch(text):
        return 0
    found = PRIORITIES.get(text.strip().lower())
    if found is None:
        raise Refused(40007)
    return found


def _url(text: str, code: int) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise Refused(code)
    return text


def _actions(text: str) -> list[dict[str, Any]]:
    """Buttons, as a JSON array or in the short form: `view, Open, https://example.org; http, …`."""
    if not text:
        return []
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else list(map(_short_action, text.split(";")))
    except ValueError:
        raise Refused(40018) from None
    for one in found:
        if not isinstance(one, dict) or one.get("action") not in ACTIONS or not one.get("label"):
            raise Refused(40018)
    return list(found)


def _short_action(text: str) -> dict[str, str]:
    names = iter(("action", "label", "url"))
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if equals and name.isalpha():
            found[name] = value.strip()
        else:
            found[next(names, "body")] = part.strip()
    return found


def _delay(text: str, now: int) -> int:
    """The seconds until a message is due: `30s`, `10 min`, `2h`, `1 day`, or a time in seconds since the epoch."""
    if not text:
        return 0
    found = re.fullmatch(r"(\d{1,12})\s*([smhd]?)[a-z]*", text.strip().lower())
    if found is None:
        raise Refused(40004)
    seconds = int(found[1]) * UNITS[found[2]] if found[2] else int(found[1]) - now
    if seconds not in DELAY_SECONDS:
        raise Refused(40005 if seconds < DELAY_SECONDS.start else 40006)
    return seconds


def _written(value: Any) -> str:
    """A value of a JSON document as a header would give it. Raises Refused."""
    match value:
        case bool():
            return "yes" if value else ""
        case int():
            return "" if value == 0 else str(value)
        case str():
            return value
        case list() if all(isinstance(one, str) for one in value):
            return ",".join(value)
        case list() if all(isinstance(one, dict) for one in value):
            return json.dumps(value)
        case _:
            raise Refused(40017)


def first_of(name: str, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """What the first header, or else the first part of the query, says under one of the names of this value."""
    found = [place.get(one, "").strip() for place in (headers, query) for one in NAMES[name]]
    return next(filter(None, found), "")
