# SPDX-License-Identifier: Apache-2.0
"""What answers by script: a provider, and a host behind the HTTP client."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from httpclient.http1 import Answer, HttpClient
from push.base import CALLS_AT_ONCE, Delivered, Outcome, Push
from push.host_shares import PerOrigin, PerPerson, Shares

SHARES = Shares(
    PerOrigin(at_once=1000, per_second=100_000, new_at_once=1000), PerPerson(at_once=1000, new_at_once=1000)
)
"""More than a test of anything else asks of a host."""

Script = Callable[[Push], Outcome]
Hook = Callable[[Sequence[Push]], Awaitable[None]]


class ScriptedProvider:
    """Answers each push with `script`, after `before` has been awaited. Keeps what it was sent, call by call."""

    def __init__(self, name: str = "log", app: str = "", *, batch_size: int = 100) -> None:
        self.name = name
        self.app = app
        self.batch_size = batch_size
        self.calls_at_once = CALLS_AT_ONCE
        self.script: Script = lambda _: Delivered()
        self.before: Hook | None = None
        self.calls: list[list[Push]] = []

    @property
    def sent(self) -> list[Push]:
        return [push for call in self.calls for push in call]

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        self.calls.append(list(pushes))
        if self.before is not None:
            await self.before(pushes)
        return [self.script(push) for push in pushes]

    async def close(self) -> None:
        pass


class FixedHost(HttpClient):
    """Every host there is: each answers `answer` to whatever it is asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    async def request(self, *_: Any, **__: Any) -> Answer:
        return self.answer
