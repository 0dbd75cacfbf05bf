# SPDX-License-Identifier: Apache-2.0
"""CHANGELOG.md keeps its form, and tells of no version that is newer than the program."""

import re

from models.version import VERSION
from tests.support import ROOT

PAGE = (ROOT / "CHANGELOG.md").read_text("utf-8")
HEADINGS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_comes_stands_first_and_no_released_version_is_newer_than_what_runs() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    running = tuple(map(int, VERSION.split(".")))
    assert all(version <= running for version, _date in released())


def test_each_version_has_a_date_and_the_newer_stands_above_the_older() -> None:
    assert len(released()) == len(HEADINGS) - 1
    assert released() == sorted(released(), reverse=True)


def test_changes_are_of_the_kinds_that_there_are() -> None:
    assert set(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)) <= KINDS


def released() -> list[tuple[tuple[int, ...], str]]:
    """The versions, each with its date."""
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in HEADINGS[1:]]
    return [(tuple(map(int, each.groups()[:3])), each[4]) for each in found if each]
