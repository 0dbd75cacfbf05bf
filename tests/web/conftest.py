# SPDX-License-Identifier: Apache-2.0
"""A browser and a server with the web app, for each file of tests."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import PROGRAM, chromium
from tests.support.engines import NewFolder
from tests.support.harness import Server, running
from tests.web.browsing import Visitor, visitor

collect_ignore: list[str] = []
if PROGRAM is None:
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("Chromium is not installed (make test-deps), which is a failure in CI")
    collect_ignore += [
        "test_accessibility.py",
        "test_docs.py",
        "test_life.py",
        "test_notifications.py",
        "test_operator.py",
        "test_screenshots.py",
        "test_trouble.py",
    ]


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("server"), {"limits": {"enabled": False}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Somebody at a browser of their own, by name; what their consoles said fails the test."""
    with ExitStack() as stack:

        def come(name: str, **how: Any) -> Visitor:
            return stack.enter_context(visitor(browser, f"http://127.0.0.1:{server.port}", name, **how))

        yield come
