# SPDX-License-Identifier: Apache-2.0
"""Glimpse for apps and programs: pictures to people by their phone numbers.

`Client` and `AsyncClient` do the same. What goes wrong is a GlimpseError: Refused (match on `code`), Unreachable,
DamagedImage, CredentialsMissing.
"""

from glimpse_client.aio.client import AsyncClient
from glimpse_client.data import (
    Activation,
    Arrival,
    Blocked,
    Conversation,
    Credentials,
    Event,
    Friend,
    Group,
    GroupMade,
    GroupSummary,
    ImageStatus,
    Match,
    Member,
    Message,
    PendingImage,
    Profile,
    PushOutcome,
    Receipt,
    Sent,
    SentMessage,
    Session,
)
from glimpse_client.errors import CredentialsMissing, DamagedImage, FieldProblem, GlimpseError, Refused, Unreachable
from glimpse_client.protocol import phone_hash
from glimpse_client.sync.client import Client

__all__ = [
    "Activation",
    "Arrival",
    "AsyncClient",
    "Blocked",
    "Client",
    "Conversation",
    "Credentials",
    "CredentialsMissing",
    "DamagedImage",
    "Event",
    "FieldProblem",
    "Friend",
    "GlimpseError",
    "Group",
    "GroupMade",
    "GroupSummary",
    "ImageStatus",
    "Match",
    "Member",
    "Message",
    "PendingImage",
    "Profile",
    "PushOutcome",
    "Receipt",
    "Refused",
    "Sent",
    "SentMessage",
    "Session",
    "Unreachable",
    "phone_hash",
]
