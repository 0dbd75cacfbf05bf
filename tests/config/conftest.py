# SPDX-License-Identifier: Apache-2.0
"""A configuration from this test's own file and environment, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import Config, ConfigError, load

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("GLIMPSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        file = tmp_path / "own.yaml"
        file.write_text(text, "utf-8")
        return file

    return to_file


@pytest.fixture
def configured(write: Write) -> Callable[[str], Config]:
    return lambda text: load(write(text))


@pytest.fixture
def problems(write: Write) -> Callable[[str], list[str]]:
    """What is wrong with a file of this content."""

    def of(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        return caught.value.problems

    return of
