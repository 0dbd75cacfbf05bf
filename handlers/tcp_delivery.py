# SPDX-License-Identifier: Apache-2.0
"""Does the receiver have the last byte? The kernel knows: what is not acknowledged stands in the send queue.

A flush only says that the kernel has the bytes, and a close may hide a reset: so the question is put to a duplicate
of the socket, which outlives the connection. See tcp(7), SIOCOUTQ.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios

from tornado.iostream import IOStream

FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.05
TCP_CLOSE = 7


class HandOver:
    """Watches one connection until its peer has acknowledged everything that was written to it."""

    def __init__(self, stream: IOStream) -> None:
        self._socket = socket.socket(fileno=os.dup(stream.socket.fileno()))

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
