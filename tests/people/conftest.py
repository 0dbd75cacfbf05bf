# SPDX-License-Identifier: Apache-2.0
"""Two servers for all of these tests: one where anybody may send to anybody, one where friends may."""

from collections.abc import Iterator

import pytest

from tests.harness import Person, Server, running

PER_DAY = 600


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("anyone"), {"discovery": {"per_day": PER_DAY}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="package")
def friends_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"messaging": {"who": "friends"}, "discovery": {"per_day": 5}}
    with running(tmp_path_factory.mktemp("friends"), settings) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def ann(server: Server) -> Person:
    return server.register("Ann")


@pytest.fixture
def ben(server: Server) -> Person:
    return server.register("Ben")
