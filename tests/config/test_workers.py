# SPDX-License-Identifier: Apache-2.0
"""What several workers ask of the other settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load

MYSQL = "database: {url: 'mysql://u:p@127.0.0.1/n'}\n"


def test_mysql_may_have_several(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(MYSQL + "server: {workers: 3, port: 9467}\nmetrics: {port: 9464}\n")
    assert load(file).server.workers == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {workers: 65}", "server.workers: must be at most 64"),
        ("server: {port: 9466, workers: 3}\nmetrics: {port: 9464}", "metrics.port: must not be server.port; metrics"),
        ("server: {workers: 3}\nmetrics: {port: 65534}", "metrics.port: must leave a port for each of the 3 workers"),
    ],
)
def test_what_does_not_go_together_is_refused(problems: Callable[[str], list[str]], text: str, problem: str) -> None:
    [found] = problems(MYSQL + text)
    assert found.startswith(problem)
