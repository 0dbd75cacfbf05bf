# SPDX-License-Identifier: Apache-2.0
"""Each class of rates is one that something counts."""

import re

from config.load import load
from handlers.routes import ROUTES
from services.limits import IN_DATABASE
from tests.support import ROOT


def classes() -> set[str]:
    return {name for rates in load().limits.rates.model_dump().values() for name in rates}


def test_each_class_is_counted_by_a_route_or_a_service() -> None:
    services = "".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
    assert classes() <= {route.limit for route in ROUTES} | set(re.findall(r'"(\w+)"', services))


def test_each_class_that_is_counted_has_a_rate() -> None:
    assert {route.limit for route in ROUTES} | IN_DATABASE <= classes()
