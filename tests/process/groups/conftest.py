# SPDX-License-Identifier: Apache-2.0
"""One server for all of these tests, with small inboxes; at the end its files and rows must agree."""

from collections.abc import Iterator

import pytest

from tests.process.invariants import check_database
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 4, "per_stranger_percent": 100, "strangers_percent": 100},
    "retention": {"interval_seconds": 1},
}


@pytest.fixture(scope="package")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("groups"), SETTINGS) as server:
        yield server
        assert server.stop() == 0
        assert server.failures() == []
        check_database(server.data_dir)


@pytest.fixture
def ann(server: Server) -> Person:
    return server.register("Ann")


@pytest.fixture
def ben(server: Server) -> Person:
    return server.register("Ben")


@pytest.fixture
def cat(server: Server) -> Person:
    return server.register("Cat")


@pytest.fixture
def dan(server: Server) -> Person:
    return server.register("Dan")
