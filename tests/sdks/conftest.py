# SPDX-License-Identifier: Apache-2.0

"""The emulators for all tests of this folder; tests whose clients are not installed are not collected."""

import os
from collections.abc import Iterator

import pytest

from tests.sdks.launching import NODE, PYTHON, Emulated, emulators

collect_ignore: list[str] = []
if not PYTHON.exists():
    collect_ignore.append("test_python.py")
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("The vendors' clients are not installed (make test), which is a failure in CI")
if not (NODE / "node_modules/.installed").exists():
    collect_ignore.append("test_node.py")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    with emulators(tmp_path_factory.mktemp("emulators")) as found:
        yield found


@pytest.fixture(autouse=True)
def afresh(emulated: Emulated) -> None:
    """Each test finds the emulators as they are at first."""
    for vendor in emulated.pages:
        emulated.set(vendor, "reset")
