# SPDX-License-Identifier: Apache-2.0
"""One server for all tests of a module that do not need one of their own."""

from collections.abc import Iterator

import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def ann(server: Server) -> Person:
    return server.register("Ann", cid="cid-ann")


@pytest.fixture
def ben(server: Server) -> Person:
    return server.register("Ben", cid="cid-ben")
