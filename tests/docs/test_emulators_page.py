# SPDX-License-Identifier: Apache-2.0
"""The clients that the emulators are tried with stand in the documentation with the versions of the lock files."""

import json
import re

from tests.support import ROOT

NODE = ROOT / "tests/sdks/node"


def documented() -> dict[tuple[str, str], str]:
    """Version by language and name."""
    page = (ROOT / "docs/emulators/clients.md").read_text()
    rows = re.findall(r"^\| `([^`]+)`(?: \((Python|Node)\))? \| ([0-9.]+) \|", page, re.MULTILINE)
    node = {name for name, language, _ in rows if language != "Python"} & set(installed_by_npm())
    return {(language or ("Node" if name in node else "Python"), name): version for name, language, version in rows}


def installed_by_npm() -> dict[str, str]:
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    locked = json.loads((NODE / "package-lock.json").read_text())["packages"]
    return {name: locked[f"node_modules/{name}"]["version"] for name in wanted}


def installed_by_pip() -> dict[str, str]:
    wanted = (ROOT / "requirements-sdks.in").read_text().split()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements-sdks.lock").read_text(), re.MULTILINE))
    return {name: locked[name] for name in wanted}


def test_clients_are_documented_with_their_versions() -> None:
    found = {("Python", name): version for name, version in installed_by_pip().items()}
    assert documented() == found | {("Node", name): version for name, version in installed_by_npm().items()}


def test_lock_files_name_no_registry() -> None:
    locked = (NODE / "package-lock.json").read_text()
    assert "resolved" not in locked
    assert all("integrity" in one for name, one in json.loads(locked)["packages"].items() if name)
    assert "http:" not in (ROOT / "requirements-sdks.lock").read_text()
