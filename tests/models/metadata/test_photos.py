# SPDX-License-Identifier: Apache-2.0
"""Exiftool's judgement of photos whose places were removed: none is left, and nothing else is missing."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from models.metadata import Removal
from tests.models.metadata import photos
from tests.models.metadata.parts import removed
from tests.support import tools

pytestmark = pytest.mark.skipif(bool(tools.MISSING), reason=f"not installed: {', '.join(tools.MISSING)}")

FEWEST = 150
PLACE = re.compile(
    r"GPS|Latitude|Longitude|Altitude|Location|City$|Country|State$|Sub-location|Province|MCCData|Coordinates|Nikon:(TextEncoding|POILevel)",
    re.IGNORECASE,
)
OF_THE_FILE = re.compile(r"SourceFile|System:|File:|ExifTool:|Composite:")
KEPT_OF_ALL = re.compile(r"IFD0:Orientation|ExifIFD:ColorSpace|InteropIFD:InteropIndex")
METADATA = re.compile(
    r"(IFD0|IFD1|ExifIFD|InteropIFD|GPS|IPTC|XMP-[^:]*|Photoshop|Apple|Nikon|Canon|Sony|Samsung|DJI):"
)
# What an empty packet or directory is still said to have.
EMPTY = re.compile(r"XMP-x:XMPToolkit|IFD0:(X|Y)Resolution|IFD0:ResolutionUnit|IFD0:YCbCrPositioning")

Tags = dict[str, Any]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    assert len(list(photos.made(folder))) >= FEWEST
    return folder


@pytest.fixture(scope="module", params=Removal, ids=lambda removal: removal.value)
def after(request: pytest.FixtureRequest, before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param.value)
    for path in before.iterdir():
        (folder / path.name).write_bytes(removed(path.read_bytes(), request.param, piece=4096))
    return folder


@cache
def tags(folder: Path) -> dict[str, Tags]:
    """What exiftool finds in each file, by group and name."""
    said = json.loads(tools.run("exiftool", "-j", "-G1", "-a", "-ee", "-n", "-struct", folder))
    return {Path(file["SourceFile"]).name: file for file in said}


def places(file: Tags) -> Tags:
    return {name: value for name, value in file.items() if PLACE.search(name) and not OF_THE_FILE.search(name)}


def test_no_place_is_left(before: Path, after: Path) -> None:
    had, have = tags(before), tags(after)
    assert all(len(places(file)) >= 5 for file in had.values())
    left = {name: found for name, file in have.items() if (found := places(file))}
    assert not left


def test_everything_else_is_as_it_was(before: Path, after: Path) -> None:
    if "location" not in after.name:
        return
    had, have = tags(before), tags(after)
    missing = {
        (name, tag): (value, have[name].get(tag))
        for name, file in had.items()
        for tag, value in file.items()
        if not OF_THE_FILE.search(tag) and tag not in places(file) and have[name].get(tag) != value
    }
    assert not missing


def test_nothing_but_orientation_and_colour_is_left_of_all(before: Path, after: Path) -> None:
    if "all" not in after.name:
        return
    had, have = tags(before), tags(after)
    for name, file in have.items():
        left = [tag for tag in file if METADATA.match(tag) and not KEPT_OF_ALL.match(tag)]
        assert not left, (name, left)
        for tag, value in had[name].items():
            if KEPT_OF_ALL.match(tag):
                assert file[tag] == value


def test_pixels_are_the_same(before: Path, after: Path) -> None:
    for path in sorted(before.iterdir())[::3]:
        changed = after / path.name
        assert changed.stat().st_size == path.stat().st_size
        assert photos.pixels(changed) == photos.pixels(path), path.name
