# SPDX-License-Identifier: Apache-2.0
"""Whether the receiver has the last byte, asked while the receiver goes."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from handlers.tcp_delivery import TcpDelivery

pytestmark = pytest.mark.anyio
SIZE = 100_000


class CutIn(TcpDelivery):
    """The receiver acts between the question how much is left and the question whether it is still there."""

    def __init__(self, descriptor: int, act: Callable[[], None]) -> None:
        super().__init__(descriptor)
        self._act = act

    def _dead(self) -> bool:
        self._act()
        return super()._dead()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender and a receiver whose window is too small for all of it."""
    with closing(socket.socket()) as listener, closing(socket.socket()) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        receiver.connect(listener.getsockname())
        sender, _ = listener.accept()
        with closing(sender):
            sender.setblocking(False)
            assert sender.send(bytes(SIZE)) == SIZE
            yield sender, receiver


def take(receiver: socket.socket, size: int) -> None:
    while size:
        size -= len(receiver.recv(size))


def reset(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    receiver.close()


@pytest.mark.parametrize(("taken", "has_all"), [(SIZE, True), (SIZE // 2, False)])
async def test_a_receiver_that_resets_at_once_has_what_it_has_acknowledged(
    pair: tuple[socket.socket, socket.socket], taken: int, has_all: bool
) -> None:
    sender, receiver = pair

    def act() -> None:
        take(receiver, taken)
        reset(receiver)

    with closing(CutIn(sender.fileno(), act)) as delivery:
        assert await delivery.completed(5) is has_all
