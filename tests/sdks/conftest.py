# SPDX-License-Identifier: Apache-2.0
"""The emulators for all tests of this folder; tests whose clients are not installed are not collected."""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.sdks.launching import NODE, PYTHON, Emulated
from tests.support import PATIENCE
from tests.support.vendors import emulators

collect_ignore: list[str] = []
if not PYTHON.exists():
    collect_ignore += [
        "test_python.py",
        "test_generated.py",
        "test_generated_java.py",
        "test_clients_page.py",
        "test_mobile_page.py",
        "test_tus.py",
    ]
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("The vendors' clients are not installed (make test), which is a failure in CI")
if not (NODE / "node_modules/.installed").exists():
    collect_ignore += ["test_node.py", "test_generated_node.py", "test_push_clients.py", "test_tus_node.py"]


@pytest.fixture(scope="session", autouse=True)
def short_lived_java() -> Iterator[None]:
    """A generator runs for two seconds: what Java does for programs that run for hours takes it four more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        yield


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    folder = tmp_path_factory.mktemp("emulators")
    with (
        emulators("all", folder=folder) as started,
        httpx.Client(trust_env=False, verify=False, timeout=PATIENCE) as http,
    ):
        pages = {vendor: url.removesuffix("/__") for vendor, url in started.urls.items()}
        yield Emulated(started.config, pages, http)


@pytest.fixture(autouse=True)
def afresh(emulated: Emulated) -> None:
    """Each test finds the emulators as they are at first."""
    for vendor in emulated.pages:
        emulated.set(vendor, "reset")
