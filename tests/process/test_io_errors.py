# SPDX-License-Identifier: Apache-2.0
"""A disk that fails once, at some of the calls of an image's way; `make prove-io` takes every one."""

from pathlib import Path

import pytest

from tests.process.io_errors import failed_everywhere
from tests.support.failing_io import COMPILER

EVERY = 11


@pytest.mark.skipif(COMPILER is None, reason="cc is not installed")
def test_a_disk_that_fails_once_loses_and_doubles_nothing(tmp_path: Path) -> None:
    failed = failed_everywhere(tmp_path, EVERY)
    assert len(failed) == 6
    assert all(calls.total() > 2 for calls in failed.values())
