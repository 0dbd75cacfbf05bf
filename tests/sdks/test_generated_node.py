# SPDX-License-Identifier: Apache-2.0
"""A client that openapi-typescript makes of the interface description, unpatched: a whole life works."""

from tests.sdks.generating import Task, server, task
from tests.sdks.launching import by_node
from tests.support.engines import ON_SQLITE

__all__ = ["server", "task"]

pytestmark = ON_SQLITE


def test_openapi_typescript(task: Task) -> None:
    task.check(by_node("generated_client", **task.given))
