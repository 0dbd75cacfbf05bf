# SPDX-License-Identifier: Apache-2.0
"""The map of the rooms is one: the folders, their floors, what is checked, the README and the page on architecture."""

import re
import tomllib
from graphlib import TopologicalSorter

import pytest

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
ROOMS = set(PROJECT["importlinter"]["root_packages"])
[FLOORS] = [contract["layers"] for contract in PROJECT["importlinter"]["contracts"] if contract["type"] == "layers"]
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NO_TESTS = {"bench"}
"""Measurements are run, and not tested."""


def blocks(page: str) -> list[list[str]]:
    """The lines of each plain block."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for kind, block in found if not kind]


def test_every_room_stands_on_a_floor() -> None:
    assert {room for floor in FLOORS for room in floor.split(" | ")} == ROOMS
    folders = {folder.parent.name for folder in ROOT.glob("[!.]*/__init__.py")} - {"tests"}
    assert folders == ROOMS


def test_every_room_is_type_checked() -> None:
    assert set(PROJECT["mypy"]["files"]) == ROOMS | {"server.py", "tests"}


@pytest.mark.parametrize("page", [README, ARCHITECTURE], ids=["README", "architecture"])
def test_the_floors_are_those_of_the_page(page: str) -> None:
    assert [f"server.py | {FLOORS[0]}", *FLOORS[1:]] in blocks(page)


def test_the_readme_has_every_room() -> None:
    tree = next(block for block in blocks(README) if block[0].startswith("server.py  "))
    named = [line.split()[0] for line in tree]
    assert sorted(named) == sorted(["server.py", *(f"{room}/" for room in ROOMS | {"clients", "docs", "tests", "web"})])


def test_every_room_has_its_folder_of_tests() -> None:
    assert {room for room in ROOMS if not any((ROOT / "tests" / room).glob("**/test_*.py"))} == NO_TESTS


def test_a_package_is_used_in_the_places_that_its_decision_names_and_no_others() -> None:
    page = (ROOT / "docs" / "decisions" / "0014-packages-and-where-they-are-used.md").read_text("utf-8")
    modules = [module for room in sorted(ROOMS - {"bench"}) for module in (ROOT / room).rglob("*.py")]
    code = {str(module.relative_to(ROOT)): module.read_text("utf-8") for module in modules}
    bullets = re.findall(r"^- \*\*([\w, ]+)\*\*: ((?:.|\n  )*)", page, re.MULTILINE)
    assert len(bullets) > 10
    for names, text in bullets:
        packages = "|".join(names.lower().replace("pillow", "pil").split(", "))
        imported = re.compile(rf"(?im)^\s*(?:from|import) (?:{packages})\b")
        users = [name for name, said in code.items() if imported.search(said)]
        places = re.findall(r"`([a-z0-9_/]+(?:/|\.py))`", text.rpartition("In ")[2])
        assert [user for user in users if not user.startswith(tuple(places))] == [], names
        assert [place for place in places if not any(user.startswith(place) for user in users)] == [], names


def test_no_modules_of_the_web_app_import_each_other() -> None:
    imported = re.compile(r"^import\b[^'\"]*['\"](\.[^'\"]+)['\"]", re.MULTILINE)
    imports = {
        module: {(module.parent / name).resolve() for name in imported.findall(module.read_text("utf-8"))}
        for module in (*ROOT.glob("web/**/*.js"), *ROOT.glob("clients/js/src/*.js"))
    }
    assert sum(map(len, imports.values())) > 100
    TopologicalSorter(imports).prepare()
