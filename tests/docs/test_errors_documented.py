# SPDX-License-Identifier: Apache-2.0
"""The catalogue of errors and docs/errors.md say the same, in both directions."""

import re
from collections.abc import Iterator

from handlers.errors import STATUS
from models import errors
from tests.support import ROOT

PAGE = ROOT / "docs" / "errors.md"


def catalogue(error: type[errors.AppError] = errors.AppError) -> Iterator[tuple[int, str]]:
    yield int(STATUS[error.kind]), error.code
    for heir in error.__subclasses__():
        if heir.__module__ == errors.__name__:
            yield from catalogue(heir)


def test_every_code_is_documented_with_its_status_and_no_other_is() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted((int(status), code) for status, code in rows) == sorted(set(catalogue()))


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(errors.Kind)
