# SPDX-License-Identifier: Apache-2.0
"""Datagrams between the workers of one machine, sent after a commit: whose event logs have grown, that pushes are due,
that an image has ended. With `wake.url` those of other machines get the same (`services.machine_bus`).

A datagram only wakes its receiver. It may arrive twice, and a worker whose socket buffer is full never gets it: whoever
waits also polls the database every few seconds.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Protocol

MOST_UIDS = 2500
"""In one datagram: 19 digits each make 50 KB."""
LONGEST_DATAGRAM = 65_536
"""Room for MOST_UIDS and what stands around them."""
MOST_AT_ONCE = 64
"""In one turn of the event loop, so that a busy worker does not keep this one from its own requests."""


class Way(Protocol):
    """What leads to others: a socket, or the bus between machines."""

    def send(self, said: bytes, /) -> object:
        """Never waits. Raises OSError where it cannot be sent."""
        ...


class WorkerBus:
    """`inbox` is this worker's own socket, `others` lead to the other workers. Without arguments there are none.

    `machine` is the same name in all workers that are connected so, and in no others.
    """

    def __init__(
        self, inbox: socket.socket | None = None, others: Sequence[socket.socket] = (), machine: str | None = None
    ) -> None:
        self.machine = machine or token_hex(8)
        self._inbox = inbox
        self._others: list[Way] = [*others]
        self._uids: set[int] = set()
        self._pushes_due = False
        self._image_ended = False
        self._speaks_soon = False

    def listen(
        self,
        *,
        wake_readers: Callable[[Iterable[int]], None],
        wake_relay: Callable[[], None],
        wake_retention: Callable[[], None],
    ) -> None:
        """Call these on the running event loop whenever another worker sends word, until `close`."""
        self._wake_readers, self._wake_relay, self._wake_retention = wake_readers, wake_relay, wake_retention
        if self._inbox is not None:
            asyncio.get_running_loop().add_reader(self._inbox, self._hear_all, self._inbox)

    def lead_to(self, way: Way) -> None:
        """Send this way too what is said from here on."""
        self._others.append(way)

    def hear(self, data: bytes) -> None:
        """Wake whom these words of another worker are for; called while listening. Raises ValueError, LookupError,
        TypeError or RecursionError for anything else.
        """
        if len(data) > LONGEST_DATAGRAM:
            raise ValueError("longer than anything that is said")
        said = json.loads(data)
        self._wake_readers(said["uids"])
        if said["pushes_due"]:
            self._wake_relay()
        if said["image_ended"]:
            self._wake_retention()

    def close(self) -> None:
        """Receive nothing more."""
        if self._inbox is not None:
            asyncio.get_running_loop().remove_reader(self._inbox)

    def tell_of_events(self, uids: Iterable[int]) -> None:
        """These people's logs have grown. Called on the event loop's thread; never waits."""
        if self._others:
            self._uids.update(uids)
            self._speak_soon()

    def tell_of_pushes(self) -> None:
        """There are pushes to send. Called on the event loop's thread; never waits."""
        if self._others:
            self._pushes_due = True
            self._speak_soon()

    def tell_of_ended_image(self) -> None:
        """Files may be due for removal. Called on the event loop's thread; never waits."""
        if self._others:
            self._image_ended = True
            self._speak_soon()

    def _hear_all(self, inbox: socket.socket) -> None:
        for said in _arrived(inbox):
            self.hear(said)

    def _speak_soon(self) -> None:
        """Once for all the commits that end in one turn of the event loop."""
        if not self._speaks_soon:
            self._speaks_soon = True
            asyncio.get_running_loop().call_soon(self._speak)

    def _speak(self) -> None:
        uids, signs = sorted(self._uids), {"pushes_due": self._pushes_due, "image_ended": self._image_ended}
        self._uids, self._pushes_due, self._image_ended, self._speaks_soon = set(), False, False, False
        for start in range(0, max(1, len(uids)), MOST_UIDS):
            said = json.dumps({"uids": uids[start : start + MOST_UIDS], **signs}).encode()
            for other in self._others:
                with suppress(OSError):
                    other.send(said)


def _arrived(inbox: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        for _ in range(MOST_AT_ONCE):
            yield inbox.recv(LONGEST_DATAGRAM)


def connect_workers(count: int) -> list[WorkerBus]:
    """The buses of `count` workers that are forked later; the successor of a dead worker inherits its sockets."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
    for end in (end for pair in pairs for end in pair):
        end.setblocking(False)
    machine = token_hex(8)
    return [
        WorkerBus(inbox, [way for at, (_, way) in enumerate(pairs) if at != number], machine)
        for number, (inbox, _) in enumerate(pairs)
    ]
