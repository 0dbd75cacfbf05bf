# SPDX-License-Identifier: Apache-2.0
"""One server for all tests of a module that do not need one of their own."""

from collections.abc import Iterator

import pytest

from tests.process.wires import running_on
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server


@pytest.fixture(scope="module")
def wire(request: pytest.FixtureRequest) -> str:
    """Plain but in modules that say BOTH_WIRES."""
    return str(getattr(request, "param", "plain"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a connection brings is read above the wire, and the database is below that: not each with each."""
    items[:] = [item for item in items if not ("tls" in item.name and "mariadb" in item.name)]


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, wire: str) -> Iterator[Server]:
    with running_on(wire, new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def ann(server: Server) -> Person:
    return server.register("Ann", cid="cid-ann")


@pytest.fixture
def ben(server: Server) -> Person:
    return server.register("Ben", cid="cid-ben")
