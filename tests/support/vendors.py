# SPDX-License-Identifier: Apache-2.0
"""The emulators of hosted services, as processes of their own beside a server."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.support import ROOT


@dataclass(frozen=True)
class Vendor:
    """An emulator, its control plane, and the configuration that points a server at it."""

    url: str
    config: dict[str, Any]

    def ask(self, what: str) -> Any:
        return httpx.get(f"{self.url}/__{what}", trust_env=False).json()

    def tell(self, what: str, **how: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/__{what}", json=how, trust_env=False)


@contextlib.contextmanager
def vendor(name: str) -> Iterator[Vendor]:
    command = [sys.executable, "-m", "emulators", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            found = re.search(r"emulator at (\S+)", process.stdout.readline())
            assert found
            lines = iter(process.stdout.readline, "")
            pasted = [next(lines), *iter(lambda: next(lines).rstrip("\n"), "")][1:]
            yield Vendor(found[1], yaml.safe_load("\n".join(pasted)))
        finally:
            process.terminate()
