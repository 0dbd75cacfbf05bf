# SPDX-License-Identifier: Apache-2.0
"""A way to a server that can be cut: what goes over it waits, as over a network that drops every packet."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class Gate:
    """One that passes connections on to the port that `leads_to` says, from a port of its own on loopback."""

    def __init__(self, leads_to: Callable[[], int]) -> None:
        self.port = 0
        self._leads_to = leads_to
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._passing.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._passing.set)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._passing.set()
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._over.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other = None
        try:
            await self._passing.wait()
            with suppress(OSError):
                there, other = await asyncio.open_connection("127.0.0.1", self._leads_to())
                await asyncio.gather(self._copy(reader, other), self._copy(there, writer))
        finally:
            for each in (writer, other):
                if each is not None:
                    each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        await self._passing.wait()
        with suppress(OSError):
            writer.write_eof()
