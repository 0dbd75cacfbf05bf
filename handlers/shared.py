# SPDX-License-Identifier: Apache-2.0
"""What all handlers of a process share, and what the route table says of each: plain data, made once at start."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from handlers.address import Proxies
from handlers.origins import Origins
from handlers.uploads import BufferBudget
from models.metadata import Removal
from services.accounts.account_deletion import AccountDeletion
from services.accounts.activation import Activation
from services.accounts.export import Export
from services.accounts.passwords import Passwords
from services.accounts.profile import Accounts
from services.accounts.session_ids import SessionIds
from services.accounts.sessions import Tokens
from services.authentication import Authentication
from services.chat import Chat
from services.conversations import Conversations
from services.devices import Devices
from services.discovery import Discovery
from services.events import Events
from services.gauges import Gauges
from services.groups import Groups
from services.health import Health
from services.history import History
from services.limits import Limits
from services.messaging import Messaging
from services.operator_page import OperatorPage
from services.people import People
from services.reading import Reading
from services.reports import Reports
from services.rooms import Rooms
from services.sending import Sending
from services.thumbnails import Thumbnails
from services.uploads import Uploads


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Whether the front doors for the sample clients are there, and in what they differ from the native interface."""

    enabled: bool
    min_password_bytes: int
    agora_open_token: bool


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the handlers need to know of the configuration. Sizes are in bytes, times in seconds."""

    images_max_bytes: int
    images_metadata: Removal | None
    interim_responses: bool
    min_bytes_per_second: int
    stall_seconds: float
    grace_seconds: float
    proxy_grace_seconds: float
    body_timeout_seconds: float
    offload: str
    vapid_public_key: str
    web_enabled: bool
    samples: SampleSettings


class Activity:
    """Requests that run now; `stopping` refuses new ones."""

    def __init__(self) -> None:
        self.running = 0
        self.stopping = False
        self._ended = asyncio.Event()

    def begin(self) -> None:
        self.running += 1

    def end(self) -> None:
        self.running -= 1
        self._ended.set()

    async def idle(self) -> None:
        """Return when no request runs."""
        while self.running:
            self._ended.clear()
            await self._ended.wait()


class Turns:
    """Where long replies wait before each piece: the event loop makes one for each of its turns, of all replies.

    Clients that take each piece at once would otherwise have theirs made one after the other, before others' requests.
    """

    def __init__(self) -> None:
        self._next = asyncio.Lock()

    async def take(self) -> None:
        """Return in a later turn of the event loop, one caller in each, in the order in which they came."""
        async with self._next:
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases that handlers may call, and what all requests share.

    `buffers` bounds what all uploads hold in memory, `unknown_callers` the bytes of those whose sender is known only
    when the body has come (`uploads.unknown_caller_max_bytes`).
    """

    authentication: Authentication
    accounts: Accounts
    activation: Activation
    account_deletion: AccountDeletion
    export: Export
    passwords: Passwords
    tokens: Tokens
    session_ids: SessionIds
    limits: Limits
    discovery: Discovery
    people: People
    reports: Reports
    groups: Groups
    sending: Sending
    thumbnails: Thumbnails
    uploads: Uploads
    reading: Reading
    messaging: Messaging
    history: History
    conversations: Conversations
    rooms: Rooms
    chat: Chat
    devices: Devices
    events: Events
    health: Health
    gauges: Gauges
    operator_page: OperatorPage
    proxies: Proxies
    origins: Origins
    activity: Activity
    turns: Turns
    buffers: BufferBudget
    unknown_callers: BufferBudget
    settings: HttpSettings


class Who(Enum):
    """Who may call an operation. In the form, or in a WebSocket's first frame, a person may also say who they are.

    A session's id travels in the header `user`.
    """

    ANYBODY = auto()
    PERSON = auto()
    FORM = auto()
    FRAME = auto()
    SESSION = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What the route table says of one operation."""

    path: str
    who: Who
    limit: str
    needs_room: bool = False
