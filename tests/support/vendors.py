# SPDX-License-Identifier: Apache-2.0
"""The emulators of hosted services, as processes of their own beside a server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.support import PATIENCE, ROOT

STARTED = re.compile(r"^(.+) emulator at (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Started:
    """What a process of emulators has printed: its text, where each is by its title, and what goes into config.yaml."""

    text: str
    urls: dict[str, str]
    config: dict[str, Any]


@dataclass(frozen=True)
class Vendor:
    """An emulator's control plane."""

    url: str

    def ask(self, what: str) -> Any:
        return httpx.get(f"{self.url}/__{what}", trust_env=False, verify=False, timeout=PATIENCE).json()

    def tell(self, what: str, **how: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/__{what}", json=how, trust_env=False, verify=False, timeout=PATIENCE)


@dataclass(frozen=True)
class HostedVendor(Vendor):
    """An emulator and the configuration that points a server at it."""

    config: dict[str, Any]


@contextmanager
def emulators(what: str, *options: str, folder: Path = ROOT) -> Iterator[Started]:
    """One emulator, or `all` of them, in one process for the length of a block; `folder` takes the keys it makes."""
    command = [sys.executable, "-m", "emulators", what, "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            # The addresses and the block for config.yaml end with an empty line each.
            text = "".join(line for _ in range(2) for line in iter(process.stdout.readline, "\n"))
            yield Started(text, dict(STARTED.findall(text)), yaml.safe_load(text.partition("# for config.yaml\n")[2]))
        finally:
            process.terminate()


@contextmanager
def vendor(name: str) -> Iterator[HostedVendor]:
    with emulators(name) as started:
        [url] = started.urls.values()
        yield HostedVendor(url, started.config)
