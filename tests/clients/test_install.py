# SPDX-License-Identifier: Apache-2.0
"""The package installs from a clone and from its wheel, and is what its description says."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.clients.conftest import CLIENT, Install, run

PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]
ASKED = "import glimpse_client, importlib.metadata as m; print(glimpse_client.__file__, m.version('glimpse-client'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--wheel-dir", folder, CLIENT)
    assert done.returncode == 0, done.stderr
    [found] = folder.glob("*.whl")
    return found


def test_it_installs_from_a_clone_without_an_index(environment: Path) -> None:
    where, version = run(environment / "bin" / "python", "-c", ASKED).stdout.split()
    assert Path(where).is_relative_to(environment)
    assert version == PROJECT["version"]
    assert PROJECT["version"] in run(environment / "bin" / "glimpse", "--version").stdout


def test_its_wheel_installs_with_types_and_command(wheel: Path, install: Install) -> None:
    place = install("from_wheel", wheel)
    assert run(place / "bin" / "glimpse", "--help").returncode == 0
    assert list(place.glob("lib/python*/site-packages/glimpse_client/py.typed"))
    checked = run(sys.executable, "-m", "pip", "--python", place / "bin" / "python", "check")
    assert checked.returncode == 0, checked.stdout


def test_the_same_source_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    backend = build_backend()
    assert (tmp_path / backend.build_wheel(str(tmp_path))).read_bytes() == wheel.read_bytes()


def test_the_wheel_says_what_the_project_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        described = archive.read(f"glimpse_client-{PROJECT['version']}.dist-info/METADATA").decode()
        recorded = archive.read(f"glimpse_client-{PROJECT['version']}.dist-info/RECORD").decode()
        assert {line.split(",")[0] for line in recorded.splitlines()} == set(archive.namelist())
    assert re.findall("^Requires-Dist: ([^;\n]*)$", described, re.MULTILINE) == PROJECT["dependencies"]
    assert re.findall("^Requires-Python: (.*)$", described, re.MULTILINE) == [PROJECT["requires-python"]]


def test_a_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = tmp_path / build_backend().build_sdist(str(tmp_path))
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    done = run(sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--wheel-dir", tmp_path, unpacked)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_an_editable_install_leads_to_the_source(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / build_backend().build_editable(str(tmp_path))) as archive:
        assert archive.read("glimpse_client.pth").decode().strip() == str(CLIENT / "src")


def test_the_synchronous_client_is_made_of_the_asynchronous_one() -> None:
    generator = loaded("generate_sync")
    made = {path: generator.formatted(path, text) for path, text in generator.generated()}
    there = {path: path.read_text("utf-8") for path in (CLIENT / "src/glimpse_client/sync").glob("*.py")}
    assert made == there, "run clients/python/generate_sync.py"


def test_it_is_checked_as_for_the_oldest_python_that_it_is_for() -> None:
    settings = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert PROJECT["requires-python"] == f">={settings['mypy']['python_version']}"
    assert settings["ruff"]["target-version"] == f"py{settings['mypy']['python_version'].replace('.', '')}"


def test_it_imports_nothing_of_the_server() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    command: list[str | Path] = [linter, "--config", str(CLIENT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(command, cwd=CLIENT / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def build_backend() -> ModuleType:
    return loaded("build_backend")


def loaded(name: str) -> ModuleType:
    """A module beside the package, which is not installed with it."""
    spec = importlib.util.spec_from_file_location(name, CLIENT / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
