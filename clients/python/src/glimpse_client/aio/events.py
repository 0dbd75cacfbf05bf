# SPDX-License-Identifier: Apache-2.0
"""A person's log, followed without a gap: by Server-Sent Events, by long poll where a proxy holds streams back."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx

from glimpse_client.aio.calls import AsyncCalls
from glimpse_client.data import Event, read
from glimpse_client.errors import Refused
from glimpse_client.platform_async import sleep
from glimpse_client.protocol import EventStream, Tries

POLL_SECONDS = 25
"""Shorter than the half minute after which some proxies cut a request."""
POLL_SLACK = 15


@dataclass
class AsyncFollowing:
    """Who follows, the last event that they have, and how: `silence` is how long a living stream may be quiet."""

    calls: AsyncCalls
    cursor: int
    silence: float
    tries: Tries
    streams: bool = True

    async def events(self) -> AsyncGenerator[Event, None]:
        """Every event behind the cursor, once, for ever. Raises Refused, Unreachable."""
        tries = self.tries
        while True:
            try:
                async for event in self._streamed() if self.streams else self._polled():
                    self.cursor = event.id
                    yield event
                pause = tries.pause_after_break(httpx.ReadError("the stream has ended"))
            except (httpx.TransportError, Refused) as error:
                pause = await self.calls.pause(tries, error)
            await sleep(pause)

    async def _streamed(self) -> AsyncGenerator[Event, None]:
        stream, heard = EventStream(), False
        headers = {"Accept": "text/event-stream"}
        try:
            async with self.calls.open(
                "/v1/events/stream", headers=headers, params={"after": self.cursor}, silence=self.silence
            ) as reply:
                async for piece in reply.aiter_bytes():
                    heard = True
                    self._lives()
                    for event in stream.feed(piece):
                        yield event
        except httpx.ReadTimeout:
            self.streams = heard  # a living stream says something at once
            raise
        if stream.ended is not None:
            status = 401 if stream.ended == "unauthenticated" else 410 if stream.ended == "cursor_expired" else 503
            raise Refused(status=status, code=stream.ended, detail="The stream has ended.")

    async def _polled(self) -> AsyncGenerator[Event, None]:
        while True:
            params = {"after": self.cursor, "wait": POLL_SECONDS}
            async with self.calls.open(
                "/v1/events", headers={}, params=params, silence=POLL_SECONDS + POLL_SLACK
            ) as reply:
                await reply.aread()
                self._lives()
                for document in reply.json()["items"]:
                    yield read(Event, document)

    def _lives(self) -> None:
        self.tries.progress()
        self.tries.renewed = False
