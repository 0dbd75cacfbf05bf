# SPDX-License-Identifier: Apache-2.0
"""tus-js-client sends over a line that breaks."""

from tests.sdks.launching import by_node
from tests.sdks.uploading import CHUNK, Sending, sending
from tests.support.engines import ON_SQLITE

__all__ = ["sending"]

pytestmark = ON_SQLITE


def test_tus_js_client(sending: Sending) -> None:
    found = by_node("tus_client", **sending.given)
    assert found["began"] == CHUNK
    assert found["seen"][-1] == len(sending.picture)
    sending.check(found["key"], "by tus-js-client")
