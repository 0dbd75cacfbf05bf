# SPDX-License-Identifier: Apache-2.0
"""The `log` push provider: writes what would be pushed to a file. For development."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from push import outbox_log
from push.base import CALLS_AT_ONCE, Delivered, Outcome, Push, Retry, now_ms
from push.tokens import Token
from push.vendor import Settings, Tools, Vendor

LONGEST_TOKEN = 4096
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class LogProvider:
    """One JSON line per push: `provider`, `token`, `payload`, `at` (milliseconds)."""

    name = "log"
    batch_size = 200
    calls_at_once = CALLS_AT_ONCE

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        at = now_ms()
        records = [
            {"provider": self.name, "token": push.token, "payload": json.loads(push.payload), "at": at}
            for push in pushes
        ]
        try:
            outbox_log.append(self._path, records)
        except OSError:
            return [Retry("the log file cannot be written")] * len(pushes)
        return [Delivered()] * len(pushes)

    async def close(self) -> None:
        pass


def _read_token(value: Any) -> Token:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TOKEN or UNPRINTABLE.search(value):
        raise ValueError(f"must be text of 1 to {LONGEST_TOKEN} characters, none of them a control character")
    return Token(value)


def _build(settings: Settings, _: Tools) -> LogProvider:
    return LogProvider(settings["path"])


VENDOR = Vendor("log", "any text", _read_token, _build)
