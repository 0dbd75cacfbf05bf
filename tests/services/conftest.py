# SPDX-License-Identifier: Apache-2.0
"""A town of people on one database, whose rows and files must agree at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.town import Town, open_town
from tests.support.engines import Engine


@pytest.fixture
async def town(engine: Engine, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(engine, tmp_path) as town:
        yield town
        town.check()
