# SPDX-License-Identifier: Apache-2.0
"""What the SMS queue and an SMS provider say to each other."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

REQUEST_NOT_SENT = {"cannot connect"}
"""The reasons of `httpclient.http1.NoAnswer` that say that the request never went out."""


@dataclass(frozen=True, slots=True)
class SmsMessage:
    """One code for one phone. `to` is E.164; `message_id` is the same on every try.

    Number, text and code are left out of its repr, so that no log shows them.
    """

    to: str = field(repr=False)
    text: str = field(repr=False)
    code: str = field(repr=False)
    message_id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class SmsSent:
    """The provider took it."""


@dataclass(frozen=True, slots=True)
class SmsNotSent:
    """Not taken; `temporary` says that trying again may help. The reason names no number and no code."""

    reason: str
    temporary: bool


SmsOutcome = SmsSent | SmsNotSent


class SmsProvider(Protocol):
    """One SMS gateway with one set of credentials. `knows_repeats`: one `message_id` never makes two SMS."""

    name: str
    knows_repeats: bool

    async def send(self, message: SmsMessage) -> SmsOutcome:
        """Send one SMS. Raises nothing that the gateway or the network causes."""

    async def close(self) -> None: ...
