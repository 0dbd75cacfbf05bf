# SPDX-License-Identifier: Apache-2.0
"""GeTui (个推), REST API V2: https://docs.getui.com/getui/server/rest_v2/push/.

The transmission is our payload. A phone whose app is not running gets a fixed visible text through its maker's
channel instead. The answer's `code` decides, not the HTTP status; what a code means stands in `getui_codes`.
Every push of ours names one target and its own `request_id`, which a list task has no place for.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from httpclient.http1 import HttpClient, NoAnswer
from push.base import CALLS_AT_ONCE, Delivered, Gone, Outcome, Push, Rejected, Retry, VisibleText, now_ms
from push.providers.getui_auth import Envelope, GetuiAuth, GetuiCredentials, milliseconds, read_envelope
from push.providers.getui_codes import OK, TOKEN_REFUSED, outcome_of, target_is_dead
from push.tokens import visible
from push.vendor import Settings, Tools, Vendor

LONGEST_TTL_MS = 259_200_000
LONGEST_TRANSMISSION = 3072
ONLINE_ELSE_VENDOR = 1


@dataclass(slots=True)
class _Said:
    """A batch's answer: how the call as a whole ended, or each target's statuses in the order of the tasks."""

    refusal: Outcome | None = None
    statuses: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether the app behind a target is connected to GeTui, and when it last was: in ms since the epoch, or 0."""

    online: bool
    last_login_at: int


class GetuiProvider:
    """One GeTui app. `clock` is in milliseconds since the epoch."""

    name = "getui"
    batch_size = 200
    calls_at_once = CALLS_AT_ONCE

    def __init__(
        self,
        credentials: GetuiCredentials,
        http: HttpClient,
        *,
        text: VisibleText,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._base = f"{credentials.base_url.rstrip('/')}/{credentials.app_id}"
        self._http = http
        self._text = text
        self._options = {"options": credentials.vendor_options} if credentials.vendor_options else {}
        self._clock = clock
        self._auth = GetuiAuth(credentials, http, clock)

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        fitting = [push for push in pushes if len(push.payload) <= LONGEST_TRANSMISSION]
        outcomes = iter(await self._send(fitting) if fitting else [])
        too_long = Rejected(f"payload over {LONGEST_TRANSMISSION} characters")
        return [next(outcomes) if len(push.payload) <= LONGEST_TRANSMISSION else too_long for push in pushes]

    async def sign_in(self) -> Retry | None:
        token = await self._auth.token()
        return token if isinstance(token, Retry) else None

    async def presence(self, target: str) -> Presence | Outcome:
        """Whether this target is connected; as an outcome, why that cannot be told.

        https://docs.getui.com/getui/server/rest_v2/user/
        """
        answer = await self._ask("GET", f"user/status/{quote(target, safe='')}")
        if isinstance(answer, Retry):
            return answer
        if answer.code != OK:
            return outcome_of(answer.code, answer.message.replace(target, "…"), self._clock())
        found = answer.data.get(target) if isinstance(answer.data, dict) else None
        if not isinstance(found, dict) or found.get("status") not in ("online", "offline"):
            return Rejected("it says nothing of this target")
        return Presence(found["status"] == "online", milliseconds(found.get("last_login_time"), 0))

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Send a batch as it is; where the call fails for one target's fault, halve it until that one stands alone.

        Every call carries the same `request_id` per push, so that a push which did get through is not shown twice.
        """
        said = await self._call(pushes)
        if said.refusal is None:
            return [await self._outcome(push, said, alone=len(pushes) == 1) for push in pushes]
        if len(pushes) == 1 or isinstance(said.refusal, Retry):
            return [said.refusal] * len(pushes)
        middle = len(pushes) // 2
        return await self._send(pushes[:middle]) + await self._send(pushes[middle:])

    async def _outcome(self, push: Push, said: _Said, *, alone: bool) -> Outcome:
        """One push's outcome out of an accepted call; a target that the answer leaves out is asked for by itself."""
        statuses = said.statuses.get(push.token)
        if not statuses:
            return Retry("no result for this target", provider_fault=False) if alone else (await self._send([push]))[0]
        match statuses.pop(0):
            case "successed_ignore":
                return Delivered(stale=True)
            case "successed_online" | "successed_offline":
                return Delivered()
            case status if target_is_dead(status):
                return Gone("target user is invalid")
            case _:
                return Retry("unknown status", provider_fault=False)

    async def _call(self, pushes: Sequence[Push]) -> _Said:
        bodies = [self._body(push) for push in pushes]
        path, document = ("push/single/cid", bodies[0])
        if len(bodies) > 1:
            path, document = ("push/single/batch/cid", {"is_async": False, "msg_list": bodies})
        answer = await self._ask("POST", path, document)
        if isinstance(answer, Retry):
            return _Said(refusal=answer)
        if answer.code == OK:
            return _Said(statuses=_statuses(answer.data, pushes))
        return _Said(refusal=outcome_of(answer.code, _without_tokens(answer.message, pushes), self._clock()))

    async def _ask(self, method: str, path: str, document: Any = None) -> Envelope | Retry:
        """Make a call; a refused token is renewed once and the same call made again."""
        content = b"" if document is None else json.dumps(document).encode()
        token = await self._auth.token()
        answer = await self._ask_with(token, method, path, content)
        if isinstance(token, str) and isinstance(answer, Envelope) and answer.code == TOKEN_REFUSED:
            return await self._ask_with(await self._auth.token(refused=token), method, path, content)
        return answer

    async def _ask_with(self, token: str | Retry, method: str, path: str, content: bytes) -> Envelope | Retry:
        if isinstance(token, Retry):
            return token
        headers = {"content-type": "application/json;charset=utf-8", "token": token}
        answer = await self._http.request(method, f"{self._base}/{path}", content=content, headers=headers)
        if isinstance(answer, NoAnswer):
            return Retry(answer.reason)
        return read_envelope(answer) or Retry(f"HTTP {answer.status} without a code")

    def _body(self, push: Push) -> dict[str, Any]:
        """One push as the API takes it: the transmission while the app runs, else a visible text."""
        shown = {"title": self._text.title, "body": self._text.body}
        return {
            "request_id": push.dedupe_id,
            "settings": {
                "ttl": min(push.ttl_seconds * 1000, LONGEST_TTL_MS),
                "strategy": {"default": ONLINE_ELSE_VENDOR},
            },
            "audience": {"cid": [push.token]},
            "push_message": {"transmission": push.payload},
            "push_channel": {
                "android": {"ups": {"notification": {**shown, "click_type": "startapp"}, **self._options}},
                "harmony": {"notification": {**shown, "click_type": "startapp"}},
                "ios": {
                    "type": "notify",
                    "aps": {"alert": shown, "content-available": 0, "sound": "default"},
                    "auto_badge": "+1",
                    "payload": push.payload,
                },
            },
        }


def _statuses(data: Any, pushes: Sequence[Push]) -> dict[str, list[str]]:
    """Per target its statuses, out of `{task: {target: status}}`; only where there is one for each of its pushes."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for task in data.values() if isinstance(data, dict) else []:
        for target, status in task.items() if isinstance(task, dict) else []:
            found[target].append(str(status))
    asked = Counter(push.token for push in pushes)
    return {target: statuses for target, statuses in found.items() if len(statuses) == asked[target]}


def _without_tokens(message: str, pushes: Sequence[Push]) -> str:
    """The vendor's message, fit to be kept: it may name a target."""
    for push in pushes:
        message = message.replace(push.token, "…")
    return message


def _build(settings: Settings, tools: Tools) -> GetuiProvider:
    return GetuiProvider(GetuiCredentials(**settings), tools.client_to_vendor(), text=tools.text)


VENDOR = Vendor("getui", "the client id", visible(64), _build, made_up_token="0" * 32)
