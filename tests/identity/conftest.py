# SPDX-License-Identifier: Apache-2.0
"""Fresh databases, and worlds over them."""

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copyfile

import pytest

from models.db import migrate
from tests.identity.world import World, open_world


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "empty.db"
    migrate.run(path)
    return path


@pytest.fixture
def database(empty: Path, tmp_path: Path) -> Path:
    path = tmp_path / "glimpse.db"
    copyfile(empty, path)
    path.chmod(0o600)
    return path


@pytest.fixture
async def world(database: Path) -> AsyncIterator[World]:
    """Activation off: a new number needs no code."""
    async with open_world(database) as opened:
        yield opened


@pytest.fixture
async def strict(database: Path) -> AsyncIterator[World]:
    """Activation on: every number needs a code."""
    async with open_world(database, required=True) as opened:
        yield opened
