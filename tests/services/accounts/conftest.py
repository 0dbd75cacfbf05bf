# SPDX-License-Identifier: Apache-2.0
"""Worlds over fresh databases."""

from collections.abc import AsyncIterator

import pytest

from tests.services.accounts.world import World, open_world
from tests.support.engines import Engine


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    """Activation off: a new number needs no code."""
    async with open_world(engine) as opened:
        yield opened


@pytest.fixture
async def strict(engine: Engine) -> AsyncIterator[World]:
    """Activation on: every number needs a code."""
    async with open_world(engine, required=True) as opened:
        yield opened
