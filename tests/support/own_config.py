# SPDX-License-Identifier: Apache-2.0
"""A configuration from a test's own file and environment, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("GLIMPSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write this text to a file; its path."""

    def to_file(text: str) -> Path:
        file = tmp_path / "own.yaml"
        file.write_text(text, "utf-8")
        return file

    return to_file
