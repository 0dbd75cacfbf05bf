# SPDX-License-Identifier: Apache-2.0
"""CHANGELOG.md keeps its form, and its newest version is the program's."""

import re

from models.version import VERSION
from tests.support import ROOT

PAGE = (ROOT / "CHANGELOG.md").read_text("utf-8")
HEADINGS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_comes_stands_first_and_then_the_version_that_runs() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert HEADINGS[1].startswith(f"[{VERSION}] - ")


def test_each_version_has_a_date_and_the_newer_stands_above_the_older() -> None:
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in HEADINGS[1:]]
    versions = [(tuple(map(int, each.groups()[:3])), each[4]) for each in found if each]
    assert len(versions) == len(HEADINGS) - 1
    assert versions == sorted(versions, reverse=True)


def test_changes_are_of_the_kinds_that_there_are() -> None:
    assert set(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)) <= KINDS
