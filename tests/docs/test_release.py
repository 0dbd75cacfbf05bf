# SPDX-License-Identifier: Apache-2.0
"""`make release` makes the same bytes of one commit each time, and an SBOM that names every package that is locked."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from models.version import VERSION
from tests.support import ROOT

FILES = ("pyproject.toml", "requirements.lock", "LICENSE")
NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "n"), ("EMAIL", "n@example.org"), ("DATE", "2026-11-29T12:00:00+00:00"))
}
EMPTY = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def run(folder: Path, *command: str, umask: int = 0o022) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **NOBODY, **EMPTY}
    return subprocess.run(
        command, cwd=folder, env=environment, umask=umask, capture_output=True, text=True, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit of a version that is to be released."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    changes = f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-11-29\n"
    (tmp_path / "CHANGELOG.md").write_text(changes)
    run(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    run(folder, "git", "add", "--all")
    assert run(folder, "git", "commit", "--quiet", "-m", "x").returncode == 0


def release(folder: Path, umask: int = 0o022) -> dict[str, bytes]:
    made = run(folder, sys.executable, str(ROOT / ".ci" / "release.py"), umask=umask)
    assert made.returncode == 0, made.stderr
    found = {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}
    shutil.rmtree(folder / "dist")
    return found


def test_a_release_is_the_same_bytes_twice(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = release(repository)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "clone"
    assert run(repository, "git", "clone", "--quiet", str(repository), str(elsewhere), umask=0o077).returncode == 0
    assert release(elsewhere, umask=0o077) == first
    assert set(first) == {f"glimpse-{VERSION}.tar.gz", f"glimpse-{VERSION}.cdx.json", "SHA256SUMS"}
    (repository / f"glimpse-{VERSION}.tar.gz").write_bytes(first[f"glimpse-{VERSION}.tar.gz"])
    with tarfile.open(repository / f"glimpse-{VERSION}.tar.gz") as archive:
        assert f"glimpse-{VERSION}/pyproject.toml" in archive.getnames()


def test_the_bill_of_materials_names_what_is_locked(repository: Path) -> None:
    bill = json.loads(release(repository)[f"glimpse-{VERSION}.cdx.json"])
    locked = re.findall(r"^([\w.-]+)==([\w.+!-]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == VERSION
    assert [(each["name"], each["version"]) for each in bill["components"]] == locked
    assert bill["dependencies"][0]["dependsOn"] == [each["purl"] for each in bill["components"]]
    assert len(locked) > 20


def test_what_is_not_committed_is_not_released(repository: Path) -> None:
    (repository / "LICENSE").write_text("")
    made = run(repository, sys.executable, str(ROOT / ".ci" / "release.py"))
    assert (made.returncode, "not committed" in made.stderr) == (1, True)


def test_a_version_is_cut_and_released_in_one_step(repository: Path) -> None:
    command = (sys.executable, str(ROOT / ".ci" / "release.py"))
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- New.\n")
    commit(repository)
    made = run(repository, *command, "7.1.0")
    assert made.returncode == 0, made.stderr
    changes = (repository / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]\n\n## \[7\.1\.0\] - \d{4}-\d\d-\d\d\n\n- New\.$", changes, re.MULTILINE)
    assert run(repository, "git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    archive = (repository / "dist" / "glimpse-7.1.0.tar.gz").read_bytes()
    assert release(repository)["glimpse-7.1.0.tar.gz"] == archive  # and again without a word
    for version, reason in (("7.1.0", "has been released"), ("7.0.9", "has been released"), ("v8", "is no version")):
        refused = run(repository, *command, version)
        assert (refused.returncode, reason in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("unreleased", "version", "reason"),
    [
        ("## [Unreleased]\n\n- New.\n", "7.1.0 7.2.0", "is no version"),
        ("## [Unreleased]\n\n- New.\n", "7.0.0", "there is a tag v7.0.0"),
        ("## [Unreleased]\n\n", "7.1.0", "says nothing"),
        ("## [Unreleased]\n\n## [6.0.0] - 2026-11-29\n\n- Old.\n", "7.1.0", "says nothing"),
        ("## [6.0.0] - 2026-11-29\n\n- Old.\n", "7.1.0", "says nothing"),
    ],
)
def test_nothing_is_committed_of_what_cannot_be_a_version(
    repository: Path, unreleased: str, version: str, reason: str
) -> None:
    (repository / "CHANGELOG.md").write_text(f"# Changelog\n\n{unreleased}")
    commit(repository)
    run(repository, "git", "tag", "v7.0.0")
    refused = run(repository, sys.executable, str(ROOT / ".ci" / "release.py"), *version.split())
    assert (refused.returncode, reason in refused.stderr) == (1, True), refused.stderr
    assert run(repository, "git", "rev-list", "--count", "v7.0.0..HEAD").stdout == "0\n"
    assert run(repository, "git", "status", "--porcelain").stdout == ""


def test_a_version_that_cannot_be_committed_leaves_no_change(repository: Path) -> None:
    command = (sys.executable, str(ROOT / ".ci" / "release.py"), "7.1.0")
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- New.\n")
    commit(repository)
    run(repository, "git", "config", "user.useConfigOnly", "true")
    failed = run(repository, "env", "-u", "GIT_AUTHOR_EMAIL", "-u", "GIT_COMMITTER_EMAIL", *command)
    assert (failed.returncode, "no email was given" in failed.stderr) == (1, True), failed.stderr
    assert run(repository, "git", "status", "--porcelain").stdout == ""
    assert run(repository, *command).returncode == 0  # the same again, once git knows who commits


def test_a_version_without_its_changes_is_not_released(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    commit(repository)
    made = run(repository, sys.executable, str(ROOT / ".ci" / "release.py"))
    assert (made.returncode, f"no heading for {VERSION}" in made.stderr) == (1, True)
