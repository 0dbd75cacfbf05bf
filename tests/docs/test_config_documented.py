# SPDX-License-Identifier: Apache-2.0
"""config.yaml is the only reference of the settings: it names every one, with its default and a comment."""

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from pydantic import TypeAdapter

from config.load import SHIPPED, Config
from config.sources import flat
from config.types import Rate
from models.rates import names
from services import limits

LINES = SHIPPED.read_text("utf-8").splitlines()
DEFAULTS = Config.model_construct().model_dump(mode="json")


def shipped() -> dict[str, Any]:
    return flat(yaml.safe_load("\n".join(LINES)))


def test_config_yaml_and_the_typed_form_have_the_same_keys_in_the_same_order() -> None:
    assert list(shipped()) == list(flat(DEFAULTS))


def test_config_yaml_gives_each_key_its_default() -> None:
    assert shipped() | {"data_dir": "data"} == flat(DEFAULTS)
    assert shipped()["data_dir"] == "./data"


@pytest.mark.parametrize("line", [line for line in LINES if re.match(r"\s*\w+: +[^#\s]", line)])
def test_each_key_with_a_value_has_a_comment(line: str) -> None:
    assert re.search(r" # \S.{3,}", line)


@pytest.mark.parametrize("rate", ["1/second", "20/minute", "5/10 minutes", "5/10minutes", "100/hours", "7/day"])
def test_a_rate_that_may_be_written_here_is_one_that_limits_reads(rate: str) -> None:
    assert TypeAdapter(Rate).validate_python(rate) == rate
    assert limits.Window(rate, lambda: 0.0).amount == int(rate.partition("/")[0])


@pytest.mark.parametrize("scope", ["address", "account", "phone", "device"])
def test_each_class_of_requests_has_a_rate(scope: str) -> None:
    prefix = f"limits.rates.per_{scope}."
    assert {key.removeprefix(prefix) for key in shipped() if key.startswith(prefix)} == set(names(scope))
