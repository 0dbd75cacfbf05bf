# SPDX-License-Identifier: Apache-2.0
"""The interface between the SMS queue and an SMS provider."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

REQUEST_NOT_SENT = {"cannot connect"}
"""Reasons of `httpclient.http1.NoAnswer` after which the request was certainly not sent."""


@dataclass(frozen=True, slots=True)
class SmsMessage:
    """One code for one phone. `to` is E.164; `message_id` is the same on every try.

    Number, text and code are excluded from the repr, so that no log shows them.
    """

    to: str = field(repr=False)
    text: str = field(repr=False)
    code: str = field(repr=False)
    message_id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class SmsSent:
    """The provider accepted it."""


@dataclass(frozen=True, slots=True)
class SmsNotSent:
    """Not accepted; `temporary` if trying again may help. `reason` contains no number and no code."""

    reason: str
    temporary: bool


SmsOutcome = SmsSent | SmsNotSent


class SmsProvider(Protocol):
    """One SMS gateway with one set of credentials. `knows_repeats`: it never sends one `message_id` twice."""

    name: str
    knows_repeats: bool

    async def send(self, message: SmsMessage) -> SmsOutcome:
        """Send one SMS. Errors of the gateway or the network are outcomes, not exceptions."""

    async def close(self) -> None: ...
