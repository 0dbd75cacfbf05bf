# SPDX-License-Identifier: Apache-2.0
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.maintenance.world import World, new_world
from tests.support.engines import Engine


@pytest.fixture
async def world(engine: Engine, tmp_path: Path) -> AsyncIterator[World]:
    async with new_world(tmp_path / "data", engine) as world:
        yield world
