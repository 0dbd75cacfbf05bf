# SPDX-License-Identifier: Apache-2.0
"""What the workers of one machine say after a commit, said to those of other machines too: published by a server that
speaks Redis' protocol.

It only wakes who hears it, and whoever waits also polls the database: while the server is away nothing is kept for
later. Its channel may be written to by whoever has its password; what cannot be read there is passed over.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from push import backoff
from telemetry import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

ANSWER_SECONDS = 2.0
"""For a connection, and for each answer: the database has been polled twice by then."""
QUIET_SECONDS = 5.0
"""After so long without a word a server is asked whether it lives, and given up after as long again: a connection may
have been cut without anybody saying so.
"""
LONGEST_PAUSE_SECONDS = 10.0
"""Between two tries to connect. The server is small, and polling bridges the time."""
AGAIN_SECONDS = 0.5
"""After which a task that goes on is cancelled once more."""
MOST_WAITING = 1000
"""Words to be published that are kept while some are on their way; the oldest go first."""
MOST_AT_ONCE = 64
"""Words of one message: whoever else writes to the channel keeps nobody's event loop for longer than these take."""

log = logging.getLogger("glimpse.wake")


class MachineBus:
    """`url` is `wake.url`. Who hears says the name of its machine with every word, `sender`, since the other workers
    there have been told already. Belongs to one event loop.
    """

    def __init__(self, url: str, channel: str, *, sender: bytes, hear: Callable[[bytes], None]) -> None:
        self._url = url
        self._channel = channel
        self._sender = sender
        self._hear = hear
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._due = asyncio.Event()
        self._failures = 0
        self._connected = False

    def send(self, said: bytes, /) -> None:
        """Publish this soon, without a line end in it; nothing is published while there is no connection."""
        if self._connected:
            self._waiting.append(said)
            self._due.set()

    async def run(self) -> None:
        """Publish and hear until cancelled; connect again after a while whenever the connection is lost."""
        metrics.WAKE_HEALTHY.set(0)
        while True:
            try:
                await self._converse()
            except Exception as error:  # noqa: BLE001 - what speaks no such protocol leads to errors of all kinds
                self._lost(_explained(error))
            await asyncio.sleep(backoff.delay(self._failures, longest=LONGEST_PAUSE_SECONDS))

    async def _converse(self) -> None:
        """Raises when the connection is lost, or leads to something else than such a server."""
        async with _client(self._url) as client, client.pubsub() as subscription:
            # No TaskGroup: Python 3.11's loses a cancellation that comes while it ends for an error.
            both = [asyncio.create_task(self._listen(subscription)), asyncio.create_task(self._publish(client))]
            try:
                ended, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
            finally:
                await end_all(both)

    async def _listen(self, subscription: "PubSub") -> None:
        await subscription.subscribe(self._channel)
        asked = False
        while True:
            message = await subscription.get_message(timeout=QUIET_SECONDS)
            if message is None and asked:
                raise TimeoutError(f"it has said nothing for {2 * QUIET_SECONDS:.0f} s")
            if asked := message is None:
                await subscription.ping()
            elif message["type"] == "subscribe":
                self._found()
            elif message["type"] == "message":
                self._heard(message["data"])
                await asyncio.sleep(0)  # what has arrived already is read without a pause: others have their turn

    async def _publish(self, client: "Redis") -> None:
        while True:
            await self._due.wait()
            words = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
            if not self._waiting:
                self._due.clear()
            await client.publish(self._channel, b"\n".join([self._sender, *words]))

    def _heard(self, data: bytes) -> None:
        sender, *words = data.split(b"\n", MOST_AT_ONCE)
        if sender != self._sender:
            for said in words:
                # Not one of ours has said that; what is nested too deeply is a RecursionError.
                with suppress(ValueError, LookupError, TypeError, RecursionError):
                    self._hear(said)

    def _found(self) -> None:
        self._connected, self._failures = True, 0
        metrics.WAKE_HEALTHY.set(1)
        log.info("wake-ups from other machines come")

    def _lost(self, reason: str) -> None:
        if self._failures == 0:
            log.warning("no wake-ups from other machines: the database is polled", extra={"reason": reason})
        self._connected = False
        self._failures += 1
        self._waiting.clear()
        metrics.WAKE_HEALTHY.set(0)


async def end_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel these until they have ended: in redis a send that just succeeds loses a cancellation, by what
    `asyncio.wait_for` of Python 3.11 does.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        for task in ended:
            task.cancelled() or task.exception()  # it is known, or the first that ended has said it


async def trouble(url: str, channel: str) -> str:
    """Why wake-ups would not come by this server and channel; empty where they would."""
    try:
        async with _client(url) as client, client.pubsub() as subscription:
            await subscription.subscribe(channel)
            await subscription.get_message(timeout=ANSWER_SECONDS)
            await client.publish(channel, b"")
    except Exception as error:  # noqa: BLE001 - as in `run`
        return _explained(error)
    return ""


def _client(url: str) -> "Redis":
    import redis.asyncio  # noqa: PLC0415 - most servers have no `wake.url`: they start sooner, 4.6 MB smaller

    parts = urlsplit(url)
    authority = parse_qs(parts.query).get("ssl_ca", [None])[0]
    return redis.asyncio.Redis(
        host=parts.hostname or "",
        port=parts.port or 6379,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ssl=parts.scheme == "rediss",
        ssl_ca_certs=authority,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
    )


def _explained(error: BaseException) -> str:
    return str(error) or type(error).__name__
