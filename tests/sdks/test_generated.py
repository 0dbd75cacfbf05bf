# SPDX-License-Identifier: Apache-2.0
"""A client that openapi-python-client makes of the interface description, unpatched: a whole life works."""

from tests.sdks.generating import Task, server, task
from tests.sdks.launching import by_python
from tests.support.engines import ON_SQLITE

__all__ = ["server", "task"]

pytestmark = ON_SQLITE


def test_openapi_python_client(task: Task) -> None:
    found = by_python("generated_client", **task.given)
    assert "WARNING" not in found["said"].upper(), found["said"]
    assert (found["refused"][0], found["event"][0]) == ("Problem", "ImageEvent")
    task.check(found)
