# SPDX-License-Identifier: Apache-2.0
"""What a file of this content makes of the configuration."""

from collections.abc import Callable

import pytest

from config.load import Config, ConfigError, load
from tests.support.own_config import Write


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
