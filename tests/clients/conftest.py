# SPDX-License-Identifier: Apache-2.0
"""The package as people install it, and its command."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT

CLIENT = ROOT / "clients" / "python"

Install = Callable[[str, str | Path], Path]


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A program's result, whatever it was."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("GLIMPSE_", "PYTHON"))}
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**settings, **(environment or {})},
        cwd=ROOT.parent,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Installs a folder or a wheel by pip, without any index, into a fresh environment; where that is.

    What the package needs is that of the tests' environment.
    """

    def install(name: str, source: str | Path) -> Path:
        place = tmp_path_factory.mktemp(name)
        assert run(sys.executable, "-m", "venv", "--without-pip", place).returncode == 0
        site = next(place.glob("lib/python*/site-packages"))
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            place / "bin" / "python",
            "--disable-pip-version-check",
        ]
        done = run(*pip, "install", "--no-index", "--no-deps", source)
        assert done.returncode == 0, done.stderr
        return place

    return install


@pytest.fixture(scope="session")
def environment(install: Install) -> Path:
    """An environment with `pip install ./clients/python`."""
    return install("environment", CLIENT)
