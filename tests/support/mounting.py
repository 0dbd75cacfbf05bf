# SPDX-License-Identifier: Apache-2.0
"""Small filesystems for tests, and what becomes of a test where this machine does not allow them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def need(missing: str) -> None:
    """Leave the test out where this machine does not allow it. A program that is not installed is a failure in CI."""
    if missing:
        assert os.environ.get("CI") != "true" or not missing.endswith("is not installed"), missing
        pytest.skip(missing)


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A filesystem in memory in the folder `place`, made with these options of tmpfs, for the length of a block."""
    need(_mount(place, options))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _mount(place: Path, options: str) -> str:
    """Why it cannot be mounted; nothing where it was."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return "mount is not installed"
    return "mounts are refused" if done.returncode else ""
