# SPDX-License-Identifier: Apache-2.0
"""What every test may use, and that those which need a database run on each engine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import browser, engines, java, proxies, tools
from tests.support.clock import FAKETIME
from tests.support.engines import Engine, NewFolder
from tests.support.failing_io import COMPILER
from tests.support.own_config import no_settings_in_the_environment, write
from tests.support.seaweed import Seaweed
from tests.support.wake_server import PROGRAM

__all__ = ["no_settings_in_the_environment", "write"]

MISSING = [
    *([] if "mariadb" in engines.NAMES else ["mariadbd (its half of the tests is skipped)"]),
    *([] if PROGRAM else ["redis-server"]),
    *([] if COMPILER else ["cc"]),
    *tools.MISSING,
    *proxies.missing(),
    *([] if FAKETIME else ["libfaketime"]),
    *browser.MISSING,
    *java.MISSING,
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine_name" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only_on")
        names = [name for name in engines.NAMES if not only or name in only.args]
        metafunc.parametrize("engine_name", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine_name(request: pytest.FixtureRequest) -> str:
    """Runs once on each engine whatever asks for it."""
    return str(request.param)


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> NewFolder:  # noqa: ARG001 - it repeats
    """A folder for a server that several tests share, which run once on each engine."""
    return tmp_path_factory.mktemp


@pytest.fixture
def engine(engine_name: str, tmp_path: Path) -> Iterator[Engine]:  # noqa: ARG001 - it repeats
    """The database of `running(tmp_path)` and of the data directory `tmp_path / "data"`.

    A test that runs on each engine, and needs no more than a server of its own, says `usefixtures("engine")`.
    """
    yield engines.database_of(tmp_path / "data")
    engines.release(tmp_path)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """An object store for all tests that need one and do not stop it."""
    store = Seaweed()
    yield store
    store.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    asked_for = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    engines.use(str(asked_for.get("engine_name", "sqlite")))


LONGEST = (
    *("test_attacks", "test_restart", "test_model", "test_crashes", "test_bad_days", "test_cluster", "test_growing"),
    *("test_object_store", "test_io_errors", "test_behaviour", "test_following", "test_keys", "test_crash"),
)
"""Files that take a quarter of a minute and more: begun first, so that no worker is left with one at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_configure() -> None:
    if MISSING and os.environ.get("CI") == "true":
        raise pytest.UsageError(f"not installed (make test-deps): {', '.join(MISSING)}, which is a failure in CI")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MISSING:
        terminalreporter.write_line(
            f"not installed, so what needs it is skipped (make test-deps): {', '.join(MISSING)}"
        )
