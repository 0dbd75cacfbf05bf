# SPDX-License-Identifier: Apache-2.0
"""docs/clients.md, as somebody follows it who makes a client of their own: every block, against a running server."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sdks.generating import server
from tests.sdks.launching import NODE, PYTHON, SECONDS
from tests.support import ROOT, java
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Server
from tests.support.pictures import png

__all__ = ["server"]

PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = png()
NPM = re.compile(r"^npm install .*\n", re.MULTILINE)

pytestmark = ON_SQLITE


@dataclass(frozen=True, slots=True)
class Reader:
    """Follows the page in an empty folder. What pip and npm would fetch is there already."""

    folder: Path
    url: str

    def blocks(self, heading: str) -> list[str]:
        """Those of a section, with the address of the server that is there."""
        found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
        assert found, heading
        return [source.replace("http://127.0.0.1:8080", self.url) for _, source in BLOCK.findall(found[1])]

    def type(self, commands: str) -> str:
        """What they print."""
        path = f"{PYTHON.parent}:{NODE / 'node_modules' / '.bin'}:{os.environ['PATH']}"
        without_index = {"PIP_NO_INDEX": "1", "PIP_DRY_RUN": "1", "npm_config_offline": "true"}
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=self.folder,
            env={**os.environ, "PATH": path, **without_index},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def reader(server: Server, new_folder: NewFolder) -> Reader:
    folder = new_folder("app")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "picture.gif").write_bytes(PICTURE)
    return Reader(folder, f"http://127.0.0.1:{server.port}")


def test_in_python(reader: Reader) -> None:
    generate, program = reader.blocks("Python")
    reader.type(generate)
    (reader.folder / "program.py").write_text(program)
    key, fetched = reader.type("python program.py").splitlines()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert fetched == repr(PICTURE)


@pytest.mark.skipif(not (NODE / "node_modules/.installed").exists(), reason="no packages of Node (make test-sdks)")
def test_in_typescript(reader: Reader) -> None:
    generate, program, run = reader.blocks("TypeScript")
    assert NPM.match(generate)
    (reader.folder / "node_modules").symlink_to(NODE / "node_modules")
    (reader.folder / "two_phones.mts").write_text(program)
    reader.type(NPM.sub("", generate))
    key, fetched = reader.type(run).splitlines()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert fetched == f"{len(PICTURE)} bytes"


@pytest.mark.skipif(bool(java.MISSING), reason="Java is not installed (make test-deps)")
def test_in_kotlin_and_swift(reader: Reader) -> None:
    [generate] = reader.blocks("Kotlin and Swift")
    [fetch] = [line for line in reader.blocks("Python")[0].splitlines() if line.startswith("curl ")]
    reader.type(f"{fetch}\n{generate}")
    for name, kind in (("glimpse-kotlin", "kt"), ("glimpse-swift", "swift")):
        assert list((reader.folder / name).rglob(f"*Images*.{kind}")), name


def test_no_block_is_left_out(reader: Reader) -> None:
    sections = ("Python", "TypeScript", "Kotlin and Swift")
    assert sum(len(reader.blocks(each)) for each in sections) == len(BLOCK.findall(PAGE))
