# SPDX-License-Identifier: Apache-2.0
"""Tell whether the peer's TCP has acknowledged the last byte, from the length of the kernel's send queue.

That all is with the kernel says nothing of the peer, and closing the connection may hide a reset. So the state is read
from a duplicate of the socket, which outlives the connection. See tcp(7), SIOCOUTQ.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios

# The queue is polled, as nothing signals that it is empty: at first often, since most peers acknowledge within
# milliseconds, then less often, so that a slow peer costs little.
FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.05
"""Nobody tells when a socket's queue is empty: it is asked, ever less often up to this."""
TCP_CLOSE = 7
"""The state after a reset, in the first byte of TCP_INFO (linux/tcp.h); Python's socket module does not name it."""


class TcpDelivery:
    """Watches one connection until its peer has acknowledged everything that was written to it."""

    def __init__(self, descriptor: int) -> None:
        """Of the connection's open socket."""
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def close(self) -> None:
        self._socket.close()

    async def completed(self, stall_seconds: float) -> bool:
        """True once the queue is empty; False when it has not shrunk for `stall_seconds` or the peer reset.

        Call it when all is flushed.
        """
        loop = asyncio.get_running_loop()
        left, since, pause = self._unacknowledged(), loop.time(), FIRST_PAUSE_SECONDS
        while left:
            if self._dead():
                return not self._unacknowledged()  # it may have taken the rest since it was asked
            if loop.time() - since > stall_seconds:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            before, left = left, self._unacknowledged()
            if left < before:
                since, pause = loop.time(), FIRST_PAUSE_SECONDS
        return True

    def _unacknowledged(self) -> int:
        answer = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4)
        count: int = struct.unpack("i", answer)[0]
        return count

    def _dead(self) -> bool:
        """After a reset the state is CLOSE, and what was queued is never acknowledged."""
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE
