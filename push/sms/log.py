# SPDX-License-Identifier: Apache-2.0
"""The `log` SMS provider: writes what would be sent to a file. For development, on loopback only."""

from pathlib import Path

from push import outbox_log
from push.sms.base import SmsMessage, SmsNotSent, SmsOutcome, SmsSent


class LogSms:
    """One JSON line per SMS: `to`, `text`, `code`."""

    name = "log"
    knows_repeats = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, message: SmsMessage) -> SmsOutcome:
        try:
            outbox_log.append(self._path, [{"to": message.to, "text": message.text, "code": message.code}])
        except OSError:
            return SmsNotSent("the log file cannot be written", temporary=True)
        return SmsSent()

    async def close(self) -> None:
        pass
