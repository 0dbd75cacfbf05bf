# SPDX-License-Identifier: Apache-2.0
"""The web app and the client fit together: what JSDoc says of types, judged by TypeScript."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

TSC = Path(__file__).parent / "node/node_modules/.bin/tsc"

if not TSC.exists():
    if os.environ.get("CI") == "true":
        raise pytest.UsageError("TypeScript is not installed (make test), which is a failure in CI")
    pytest.skip("TypeScript is not installed (make test)", allow_module_level=True)


@pytest.mark.parametrize("project", ["web/jsconfig.json", "web/sw.jsconfig.json"])
def test_the_types_fit(project: str) -> None:
    judged = subprocess.run([TSC, "-p", ROOT / project], capture_output=True, text=True, check=False)
    assert judged.stdout == ""
    assert judged.returncode == 0
