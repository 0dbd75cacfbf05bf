# SPDX-License-Identifier: Apache-2.0
"""config.yaml is the only reference of the settings: it names every one, with its default and a comment.

The typed form has no default of its own, and a setting keeps its name to the place where it is used.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from config.load import load
from config.sections import Config, Section
from config.sources import SHIPPED, flat
from config.types import Rate
from services import limits
from tests.support import ROOT

LINES = SHIPPED.read_text("utf-8").splitlines()


def shipped() -> dict[str, Any]:
    return flat(yaml.safe_load("\n".join(LINES)))


def test_config_yaml_and_the_typed_form_have_the_same_keys_in_the_same_order() -> None:
    assert list(shipped()) == list(flat(load().model_dump(mode="json")))


def test_config_yaml_alone_is_what_a_server_runs_with() -> None:
    assert shipped() | {"data_dir": "data"} == flat(load().model_dump(mode="json"))
    assert shipped()["data_dir"] == "./data"


def typed(section: type[Section], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the typed form, under the path of its key."""
    for name, field in section.model_fields.items():
        yield path + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from typed(field.annotation, f"{path}{name}.")


def test_no_typed_section_has_a_default_of_its_own() -> None:
    fields = dict(typed(Config))
    assert {"server", "server.tls.cert", "push.getui.app_id", "push.getui.apps"} <= fields.keys()
    assert [path for path, field in fields.items() if not field.is_required()] == []


def settings_handed_on(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Each argument by name that is a setting and nothing else: its name, and the path of the key."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg and isinstance(node.value, ast.Attribute):
            first, *path = ast.unparse(node.value).split(".")
            if first == "config":
                yield node.arg, path


def test_a_setting_keeps_its_name_to_the_place_where_it_is_used() -> None:
    handed = [each for file in (ROOT / "app").glob("*.py") for each in settings_handed_on(file)]
    assert ("max_readers", ["events", "max_readers"]) in handed
    assert ("push_give_up_hours", ["push", "give_up_hours"]) in handed
    renamed = [(name, path) for name, path in handed if name not in (path[-1], "_".join(path[-2:]))]
    assert renamed == []


@dataclass(frozen=True)
class Wanted:
    """What a part below asks for by name."""

    max_pending: int
    images_max_bytes: int
    stall_seconds: float


def test_a_part_is_handed_the_keys_of_its_fields_names() -> None:
    config = load()
    found = config.fill(Wanted, "images", "inbox", "storage", stall_seconds=0.5)
    assert found == Wanted(config.inbox.max_pending, config.images.max_bytes, 0.5)


@dataclass(frozen=True)
class Unclear:
    """Two sections have such a key."""

    max_bytes: int


@pytest.mark.parametrize("sections", [("images", "storage"), ("inbox",)])
def test_a_field_that_no_section_or_more_than_one_has_is_a_mistake(sections: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match="max_bytes"):
        load().fill(Unclear, *sections)


@pytest.mark.parametrize("line", [line for line in LINES if re.match(r"\s*\w+: +[^#\s]", line)])
def test_each_key_with_a_value_has_a_comment(line: str) -> None:
    assert re.search(r" # \S.{3,}", line)


@pytest.mark.parametrize("rate", ["1/second", "20/minute", "5/10 minutes", "5/10minutes", "100/hours", "7/day"])
def test_a_rate_that_may_be_written_here_is_one_that_limits_reads(rate: str) -> None:
    assert TypeAdapter(Rate).validate_python(rate) == rate
    assert limits.Window(rate, lambda: 0.0).amount == int(rate.partition("/")[0])


def test_a_default_that_a_page_gives_in_brackets_is_the_one_that_holds() -> None:
    defaults, units = shipped(), {"": 1, " MiB": 1024 * 1024}
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    given = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`\s+\((\d+)( MiB)?\)", pages)
    assert len(given) > 10
    for key, number, unit in given:
        assert (key, defaults[key]) == (key, int(number) * units[unit])
