# SPDX-License-Identifier: Apache-2.0
"""The crowds of `tests.process.crowds`, small."""

from collections.abc import Iterator

import pytest

from tests.process.crowds import SETTINGS, cut_connections, slow_heads
from tests.process.test_slow_clients import memory_bytes
from tests.support.harness import Server, running, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), SETTINGS) as server:
        yield server
        assert server.failures() == []


def test_slow_heads_keep_nobody_waiting(server: Server) -> None:
    assert slow_heads(server, 200, 3) < 250  # milliseconds on a busy machine


def test_nothing_is_left_of_connections_that_were_cut(server: Server) -> None:
    cut_connections(server, 500, seed=2)
    wait_until(lambda: server.open_files() < 60, seconds=30, what="the return of the descriptors")
    files, memory = server.open_files(), memory_bytes(server)
    cut_connections(server, 1500, seed=3)
    wait_until(lambda: server.open_files() <= files + 1, seconds=30, what="the return of the descriptors")
    assert memory_bytes(server) - memory < 5_000_000
