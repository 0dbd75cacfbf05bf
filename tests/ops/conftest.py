# SPDX-License-Identifier: Apache-2.0
"""One server for all tests of a module that run commands beside it, and what a stopped one leaves."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engine, NewFolder, database_of
from tests.support.harness import Server, running
from tests.support.pictures import png


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="session")
def used(new_folder: NewFolder) -> Path:
    """The data directory of a server that was used and stopped: one image waits."""
    with running(new_folder("used")) as server:
        server.register("Ann").send(server.register("Ben", cid="ben"), png(1, 1))
    return server.data_dir


@pytest.fixture
def stopped(used: Path, tmp_path: Path, engine: Engine) -> Path:
    """One such directory to spoil, and its database."""
    copy = shutil.copytree(used, tmp_path / "data")
    database_of(used).copy_to(engine)
    return copy
