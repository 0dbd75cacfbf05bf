# SPDX-License-Identifier: Apache-2.0
"""The programs that speak to the emulators with a vendor's client.

The clients are in an environment of their own (`make test-sdks`), so a program is run there: what it needs goes in as
JSON, what its client said comes out as JSON.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support import ROOT

HERE = Path(__file__).parent
PYTHON = ROOT / ".venv-sdks/bin/python"
NODE = HERE / "node"
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Emulated:
    """The emulators: the configuration that points at them, and the address of each one's page."""

    config: dict[str, Any]
    pages: dict[str, str]
    http: httpx.Client

    def shown(self, vendor: str, name: str) -> Any:
        """What an emulator tells under this name."""
        return self.http.get(f"{self.pages[vendor]}/__{name}").raise_for_status().json()

    def set(self, vendor: str, name: str, **document: Any) -> None:
        self.http.post(f"{self.pages[vendor]}/__{name}", json=document).raise_for_status()

    def push(self, vendor: str) -> dict[str, Any]:
        """The part of `push` that is one vendor's."""
        found: dict[str, Any] = self.config["push"][vendor]
        return found


def by_python(program: str, **given: Any) -> Any:
    """What `programs/PROGRAM.py` found."""
    return _run([str(PYTHON), str(HERE / "programs" / f"{program}.py")], given, {})


def by_node(program: str, **given: Any) -> Any:
    """What `node/PROGRAM.mjs` found; it trusts the `ca_file` that it is given."""
    trusted = {"NODE_EXTRA_CA_CERTS": given["ca_file"]} if "ca_file" in given else {}
    return _run(["node", str(NODE / f"{program}.mjs")], given, trusted)


def _run(command: list[str], given: dict[str, Any], environment: dict[str, str]) -> Any:
    done = subprocess.run(
        command,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
