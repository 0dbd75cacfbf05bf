# SPDX-License-Identifier: Apache-2.0
"""A listening socket that several workers accept from."""

import socket
from collections.abc import Iterator

import pytest

from app.listen import TakingTurns


@pytest.fixture
def shared() -> Iterator[TakingTurns]:
    with TakingTurns(fileno=socket.create_server(("127.0.0.1", 0)).detach()) as listening:
        listening.setblocking(False)
        yield listening


def accepted(shared: TakingTurns) -> bool:
    try:
        shared.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_one_connection_is_taken_in_a_turn_and_the_next_is_for_others(shared: TakingTurns) -> None:
    waiting = [socket.create_connection(shared.getsockname()) for _ in range(3)]
    assert [accepted(shared) for _ in range(6)] == [True, False, True, False, True, False]
    for each in waiting:
        each.close()


def test_a_turn_that_found_nobody_costs_no_turn(shared: TakingTurns) -> None:
    assert not accepted(shared)
    with socket.create_connection(shared.getsockname()):
        assert accepted(shared)
