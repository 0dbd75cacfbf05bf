# SPDX-License-Identifier: Apache-2.0
"""A generation's way to the main process (`app.generations`): what it is given, says and is told.

A server that is run without a main process has none, and opens everything itself.
"""

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.generations import GIVEN, LINK, LOCK, LONGEST_WORD, MOST_DESCRIPTORS

log = logging.getLogger("glimpse.server")


@dataclass(slots=True)
class HeldSockets:
    """Sockets that listen already: those of the generation before, and those of the service manager."""

    named: list[tuple[str, socket.socket]] = field(default_factory=list)
    taken: dict[socket.socket, str] = field(default_factory=dict)

    def take(self, name: str, host: str, port: int, backlog: int) -> list[socket.socket]:
        """Those that listen on this address; where any port will do, those of this name. None if there are none."""
        wanted = {
            (family, address[0])
            for family, *_, address in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        }
        found = {}
        for held_as, each in self.named:
            bound = each.getsockname()
            if (each.family, bound[0]) in wanted and (bound[1] == port if port else held_as == name):
                found[each] = held_as
                each.listen(backlog)
        self.taken |= found
        return list(found)

    def name_of(self, taken: socket.socket, name: str) -> str:
        """What it is to be held as: the service manager's stay what they are."""
        return GIVEN if self.taken.get(taken) == GIVEN else name

    def check_all_given_are_taken(self) -> None:
        """Raises OSError: whoever connects to a socket that nobody serves would wait for ever."""
        for name, each in self.named:
            if name == GIVEN and each not in self.taken:
                bound = each.getsockname()
                where = bound if isinstance(bound, str) else f"{bound[0]}, port {bound[1]}"
                raise OSError(f"server.host, server.port: LISTEN_FDS has a socket on {where}, which no setting names")

    def close_rest(self) -> None:
        """What this generation does not listen on is not its own."""
        for _, each in self.named:
            if each not in self.taken:
                each.close()


class GenerationLink:
    """`replaces`: another generation serves until this one does. `death`: how the one before died, if it did."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._way = socket.socket(fileno=descriptor)
        said, descriptors, *_ = socket.recv_fds(self._way, LONGEST_WORD, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        hello = json.loads(said or b'{"held": []}')
        self.number: int = hello.get("number", 0)
        self.replaces: bool = hello.get("replaces", False)
        self.death: dict[str, int] | None = hello.get("death")
        self.lock: int | None = None
        self.held = HeldSockets()
        for name, each in zip(hello["held"], descriptors, strict=True):
            if name == LOCK:
                self.lock = each
            else:
                self.held.named.append((name, socket.socket(fileno=each)))
        self._way.setblocking(False)

    def fileno(self) -> int:
        return self._way.fileno()

    def close(self) -> None:
        self._way.close()

    def say_serving(self, lock: int, named: Sequence[tuple[str, socket.socket]], **about: Any) -> None:
        """Requests are answered from now on, on these sockets, under this lock; and what else is to be known."""
        names = [LOCK, *(self.held.name_of(each, name) for name, each in named)]
        descriptors = [lock, *(each.fileno() for _, each in named)]
        with suppress(OSError):  # without a main process this one ends by itself
            socket.send_fds(self._way, [json.dumps({"held": names, **about}).encode()], descriptors)

    def say_failed(self, reason: str) -> None:
        """It will not serve."""
        with suppress(OSError):
            self._way.send(json.dumps({"reason": reason}).encode())

    def words(self) -> Iterator[str]:
        """What is said now: `leave` where another serves, `alone` where no other is left, `stop` where there is no main
        process any more. That another did not come up is a line of the log.
        """
        with suppress(BlockingIOError):
            while True:
                try:
                    said = self._way.recv(LONGEST_WORD)
                except ConnectionError:
                    said = b""
                if not said:
                    yield "stop"
                    return
                told = json.loads(said)
                if told["word"] == "refused":
                    log.error("a restart was refused: this generation goes on", extra={"reason": told["reason"]})
                else:
                    yield told["word"]


@contextmanager
def generation_link() -> Iterator[GenerationLink | None]:
    """The way to the main process that started this one, if one did, until the end of the block."""
    descriptor = os.environ.pop(LINK, None)
    if descriptor is None:
        yield None
        return
    link = GenerationLink(int(descriptor))
    try:
        yield link
    finally:
        link.close()
