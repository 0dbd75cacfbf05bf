# SPDX-License-Identifier: Apache-2.0
"""tuspy sends over a line that breaks."""

from tests.sdks.launching import by_python
from tests.sdks.uploading import CHUNK, Sending, sending
from tests.support.engines import ON_SQLITE

__all__ = ["sending"]

pytestmark = ON_SQLITE


def test_tuspy(sending: Sending) -> None:
    found = by_python("tus", **sending.given)
    assert (found["began"], found["offset"]) == (CHUNK, len(sending.picture))
    sending.check(found["key"], "by tuspy")
