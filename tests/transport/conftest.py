# SPDX-License-Identifier: Apache-2.0
"""Tornado's loop for each test here, by pytest-tornado."""

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _a_loop_to_go_back_to() -> Iterator[None]:
    """Tornado asks for the loop that was there before its own; asyncio would make one, which nobody closes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
