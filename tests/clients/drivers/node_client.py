# SPDX-License-Identifier: Apache-2.0
"""Drives `@glimpse/client` through the table of behaviour, under Node."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import PATIENCE, ROOT

NODE = shutil.which("node")
PROGRAM = Path(__file__).with_suffix(".mjs")
CLIENT = ROOT / "clients" / "js" / "src" / "index.js"


def run(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each step of a task came to."""
    assert NODE
    done = subprocess.run(
        [NODE, PROGRAM, CLIENT], input=json.dumps(task), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
