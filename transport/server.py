# SPDX-License-Identifier: Apache-2.0
"""Listening: accepting and beginning in turns, how many connections there may be, and one sweep for all deadlines."""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from tornado.httputil import HTTPServerConnectionDelegate

from models.errors import AppError, RateLimited
from models.shared_counters import SharedCounter
from transport.connection import Connection
from transport.exchange import Peer
from transport.limits import Limits
from transport.tls import TlsTransport
from transport.unsent import UnsentBudget

SWEEP_SECONDS = 0.25
ACCEPTED_AT_ONCE = 32
BEGUN_AT_ONCE = 16
"""Requests in one turn of the event loop, some milliseconds of it: what others wait for, such as a commit, a timer or a
reply that goes on, has its turn in between.
"""
READING_TURNS = 2
"""Of the event loop, after which it has read what had come: one ends the turn that asks, one looks at the sockets."""
FULL_PAUSE_SECONDS = 0.2
"""After the last descriptor: a listening socket that stays readable would keep the event loop spinning."""
BUSY_RETRY_SECONDS = 1
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger("glimpse.http")


class InLine(Protocol):
    """What waits for its turn. `source` is whom it is counted with."""

    @property
    def source(self) -> str: ...

    def advance(self) -> None: ...


class Server:
    """The connections of this process.

    `refusal` makes the whole reply to what is no request. `source` tells whom a connection is counted with, from its
    peer and the X-Forwarded-For of the request that it carries, if any; None where it is nobody's own, as a proxy's
    without a request. `counter` counts with other processes.
    """

    def __init__(
        self,
        app: HTTPServerConnectionDelegate,
        limits: Limits,
        *,
        refusal: Callable[[AppError], bytes],
        source: Callable[[str, str | None], str | None] = lambda peer, _: peer,
        tls: ssl.SSLContext | None = None,
        counter: SharedCounter | None = None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.refusal = refusal
        self.counter = counter or SharedCounter()
        self.unsent = UnsentBudget(limits.max_unsent_bytes)
        self.discarding = 0
        self._source = source
        self._tls = tls
        self._at_once = 1
        self._listening: list[socket.socket] = []
        self._connections: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        self._per_source: Counter[str] = Counter()
        self._may_begin = BEGUN_AT_ONCE
        self._in_line: dict[str, dict[InLine, None]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._overdue: set[Connection] = set()
        self._emptied = asyncio.Event()
        self.lets_go = False

    # -- listening --

    def listen(self, sockets: Iterable[socket.socket], *, shared: bool = False) -> None:
        """Accept on these sockets from now on. Where they are `shared` with other processes one connection is taken in
        a turn of the event loop: the first to wake would have all that wait.
        """
        self._at_once = 1 if shared else ACCEPTED_AT_ONCE
        for each in sockets:
            each.setblocking(False)
            self._listening.append(each)
            asyncio.get_running_loop().add_reader(each, self._accept, each)
        self._sweep()

    def stop(self) -> None:
        """Accept no more, and close the listening sockets."""
        for each in self._listening:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._listening.clear()

    def let_go(self) -> None:
        """This process ends, or others accept in its place: each connection ends with the reply to its next request."""
        self.lets_go = True

    async def all_begun(self) -> None:
        """Return when every request has begun that had come when this was called."""
        for _ in range(READING_TURNS):
            await asyncio.sleep(0)
        while self._in_line:  # noqa: ASYNC110 - each turn of the event loop lets some begin
            await asyncio.sleep(0)

    async def deserted(self) -> None:
        """Return when there is no connection."""
        while self._connections:
            self._emptied.clear()
            await self._emptied.wait()

    async def close_all_connections(self, seconds: float = 2) -> None:
        """Close each when what was written to it is sent, and wait for that, but not for long."""
        for connection in list(self._connections):
            connection.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.deserted()
        for connection in list(self._connections):
            connection.abort()
        if self._sweeping:
            self._sweeping.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self._at_once):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._pause(listening)
                return
            self._take(accepted, str(address[0]) if address else "")

    def _take(self, accepted: socket.socket, host: str) -> None:
        accepted.setblocking(False)
        if self._admits(host):
            self._open(accepted, host)
        else:
            accepted.close()

    def _pause(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def resume() -> None:
            if listening in self._listening:
                loop.add_reader(listening, self._accept, listening)

        loop.call_later(FULL_PAUSE_SECONDS, resume)

    # -- who may have a connection --

    def _admits(self, host: str) -> bool:
        """Above half use nobody may have more than a quarter; when full, somebody without a request has to go."""
        limits, total, own = self.limits, self.counter.total, self.counter.own
        source = self._source(host, None)
        if source is not None and self._has_its_share(source):
            return self._make_room(source)
        if total < limits.max_connections and own < limits.max_own:
            return True
        return self._make_room(None)

    def _has_its_share(self, source: str) -> bool:
        limits = self.limits
        crowded = 2 * self.counter.total >= limits.max_connections or 2 * self.counter.own >= limits.max_own
        return crowded and self._per_source[source] >= max(1, limits.max_own // 4)

    def _make_room(self, source: str | None) -> bool:
        """Close the connection that has been without a request longest, of this source if one is named; who has
        never made a request goes first.
        """
        candidates = [each for each in self._idle if source is None or each.source == source]
        if not candidates:
            return False
        min(candidates, key=lambda each: each.served > 0).drop()
        return True

    def busy(self, connection: Connection, forwarded_for: str | None) -> None:
        """It has a request now. A proxy's connection is that of the client who asks by it, and only so long.

        Raises RateLimited where that client has their share already.
        """
        self._idle.pop(connection, None)
        if not connection.shared:
            return
        self._count_with(connection, None)
        source = self._source(connection.peer.remote_ip, forwarded_for)
        if source is not None and self._has_its_share(source):
            raise RateLimited("Too many requests from your network are under way.", retry_after=BUSY_RETRY_SECONDS)
        self._count_with(connection, source)

    def idle(self, connection: Connection) -> None:
        """It has none."""
        self._idle[connection] = None
        if connection.shared:
            self._count_with(connection, None)

    def _count_with(self, connection: Connection, source: str | None) -> None:
        if connection.source:
            self._per_source[connection.source] -= 1
            if not self._per_source[connection.source]:
                del self._per_source[connection.source]
        connection.source = source or ""
        if source:
            self._per_source[source] += 1

    # -- whose request is next --

    def may_begin(self, who: InLine) -> bool:
        """Whether a request or a handshake may begin in this turn of the event loop. Else it is told to `advance` in a
        later one: of a crowd that comes at once, one of each source after the other.
        """
        if not self._may_begin:
            self._in_line.setdefault(who.source, {})[who] = None
            return False
        self._may_begin -= 1
        if not self._may_begin:
            asyncio.get_running_loop().call_soon(self._next_turn)
        return True

    def _next_turn(self) -> None:
        self._may_begin = BEGUN_AT_ONCE
        while self._in_line and self._may_begin:
            source, waiting = next(iter(self._in_line.items()))
            del self._in_line[source]
            who = next(iter(waiting))
            del waiting[who]
            if waiting:
                self._in_line[source] = waiting  # behind the others
            who.advance()

    # -- their lives --

    def _open(self, accepted: socket.socket, host: str) -> None:
        source = self._source(host, None)
        connection = Connection(self, Peer(host, "https" if self._tls else "http"), shared=source is None)
        self._connections[connection] = self._idle[connection] = None
        self.counter.add(1)
        self._count_with(connection, source)
        task = asyncio.get_running_loop().create_task(self._connect(accepted, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, accepted: socket.socket, connection: Connection) -> None:
        protocol = TlsTransport(self._tls, connection, self.may_begin) if self._tls else connection
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock = accepted
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """It is no more."""
        if connection not in self._connections:
            return
        del self._connections[connection]
        self.unsent.let_go(connection)
        self._idle.pop(connection, None)
        self.counter.add(-1)
        self._count_with(connection, None)
        self._emptied.set()

    def _sweep(self) -> None:
        """Cut who was late at the last sweep and still is: after a turn of the loop that took long, timers come before
        the bytes that have been waiting meanwhile.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        overdue = {each for each in self._connections if each.deadline <= now}
        for connection in overdue & self._overdue:
            connection.expire()
        self._overdue = overdue
        self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep)
