# SPDX-License-Identifier: Apache-2.0
"""Two servers for all of these tests: one where anybody may send to anybody, one where friends may."""

from collections.abc import Iterator

import pytest

from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running

PER_DAY = 600


@pytest.fixture(scope="package")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("anyone"), {"discovery": {"per_day": PER_DAY}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="package")
def friends_only(new_folder: NewFolder) -> Iterator[Server]:
    settings = {"messaging": {"friends_only": True}, "discovery": {"per_day": 5}}
    with running(new_folder("friends"), settings) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def ann(server: Server) -> Person:
    return server.register("Ann")


@pytest.fixture
def ben(server: Server) -> Person:
    return server.register("Ben")
