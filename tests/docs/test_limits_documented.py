# SPDX-License-Identifier: Apache-2.0
"""docs/limits.md has each class of rates in the column of whom it is counted for, and names settings that exist."""

import re

from config.load import load
from config.sources import keys_of
from handlers.routes import ROUTES
from models.rates import names
from tests.support import ROOT

PAGE = (ROOT / "docs" / "limits.md").read_text("utf-8")
COLUMNS = [names(scope) for scope in ("address", "account", "phone", "device")]


def test_each_class_stands_in_the_columns_that_count_it() -> None:
    said = {}
    for line in PAGE.splitlines():
        if found := re.fullmatch(r"\| `(\w+)` \|(.*)\|(.*)\|(.*)\|(.*)\|", line):
            said[found[1]] = [bool(cell.strip()) for cell in found.groups()[1:]]
    known = {name for column in COLUMNS for name in column} | {route.limit for route in ROUTES}
    assert said == {name: [name in column for column in COLUMNS] for name in known}


def test_each_class_is_counted_by_a_route_or_a_service() -> None:
    services = "".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
    counted = {route.limit for route in ROUTES} | set(re.findall(r'"(\w+)"', services))
    assert {name for column in COLUMNS for name in column} <= counted


def test_each_setting_of_the_page_is_one_that_exists() -> None:
    known = keys_of(load().model_dump())
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)", PAGE)
    assert len(named) > 10
    assert [name for name in named if not any(key == name or key.startswith(f"{name}.") for key in known)] == []
