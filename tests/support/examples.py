# SPDX-License-Identifier: Apache-2.0
"""How many examples a property is given that runs on each engine."""

from typing import Any

from hypothesis import settings

from tests.support.engines import Engine

FEWER = 4


def examples(engine: Engine, most: int, **more: Any) -> settings:
    """So many on SQLite, a quarter of them elsewhere: what is true of the database is true of each of them."""
    return settings(max_examples=most if engine.name == "sqlite" else most // FEWER, deadline=None, **more)
