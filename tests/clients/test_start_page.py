# SPDX-License-Identifier: Apache-2.0
"""docs/start.md, as somebody new follows it: every block in its order, in a checkout, against a running server."""

import os
import re
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.harness import Server, running, wait_until

PAGE = (ROOT / "docs" / "start.md").read_text("utf-8")
TYPESCRIPT = ROOT / "tests/web/node/node_modules/typescript/package.json"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\*\*(\w+\.(?:py|mts))\*\*")


@dataclass
class Reader:
    """Follows the page in a folder that looks like a checkout, and types the codes that it is asked for."""

    folder: Path
    server: Server
    said: list[str] = field(default_factory=list)

    def follow(self, text: str) -> str:
        """Run one section; what its commands printed. A program has the name that the page gave one last."""
        self.said.clear()
        for block in BLOCK.finditer(text):
            kind, source = block.groups()
            if kind == "sh":
                self._type(source)
            else:
                name = NAMED.findall(text[: block.start()])[-1]
                place = self.folder / ("phones" if kind == "ts" else "")
                place.mkdir(exist_ok=True)
                (place / name).write_text(source)
        return "".join(self.said)

    def _type(self, commands: str) -> None:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", commands],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        typist = threading.Thread(target=self._type_code, args=(shell, len(self._codes())))
        typist.start()
        assert shell.stdin
        assert shell.stdout
        with shell.stdin, shell.stdout:
            said = shell.stdout.read()
            shell.wait(PATIENCE)
            typist.join(PATIENCE)
        assert shell.returncode == 0, said
        self.said.append(said)

    def _type_code(self, shell: "subprocess.Popen[str]", before: int) -> None:
        wait_until(lambda: shell.poll() is not None or len(self._codes()) > before, what="a code, or the end")
        if shell.poll() is None and shell.stdin:
            shell.stdin.write(f"{self._codes()[-1]}\n")
            shell.stdin.flush()

    def _codes(self) -> list[str]:
        log = self.folder / "data" / "outbox.log"
        return re.findall(r'"code": ?"(\d+)"', log.read_text()) if log.exists() else []

    def _environment(self) -> dict[str, str]:
        """What pip would fetch from its index is here already."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "GLIMPSE_URL": f"http://127.0.0.1:{self.server.port}",
        }


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("clients", "docs"):
        (folder / name).symlink_to(ROOT / name)
    with running(folder) as server:
        reader = Reader(folder, server)
        reader.follow(section("In the terminal"))  # makes the environment that the other sections use
        yield reader
        assert server.failures() == []


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def test_the_program_of_the_readme(reader: Reader) -> None:
    [(_, program)] = [block for block in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if block[0] == "python"]
    (reader.folder / "picture.png").write_bytes((reader.folder / "photo.png").read_bytes())
    said = reader.follow(f"**readme.py**\n```python\n{program}```\n```sh\nphone/bin/python readme.py\n```")
    assert (reader.folder / said.strip()).read_bytes() == (reader.folder / "picture.png").read_bytes()


def test_the_server_is_one_command() -> None:
    assert BLOCK.findall(section("A server")) == [("sh", "make run\n")]


def test_in_the_terminal(reader: Reader) -> None:
    received = [path.read_bytes() for path in (reader.folder / "received").iterdir()]
    assert (reader.folder / "photo.png").read_bytes() in received


def test_in_python(reader: Reader) -> None:
    said = reader.follow(section("In Python")).splitlines()
    assert said[0] == "pending"
    assert (reader.folder / said[1]).read_bytes() == (reader.folder / "photo.png").read_bytes()
    assert said[2] == "consumed"
    assert [line for line in said if "uid" in line and "Code" in line]
    received = {path.name for path in (reader.folder / "received").iterdir()}
    assert len(received) >= 3  # by the command, and by two programs


@pytest.mark.skipif(not TYPESCRIPT.exists(), reason="TypeScript is not installed (make test)")
def test_in_typescript(reader: Reader) -> None:
    page = section("In TypeScript")
    command = "npm install --prefix phones ./clients/js typescript @types/node\n"
    assert BLOCK.findall(page)[0][1].startswith(command)
    modules = reader.folder / "phones" / "node_modules"
    modules.mkdir(parents=True)
    for name in ("typescript", "@types", "undici-types", ".bin"):  # what npm would fetch from its index
        (modules / name).symlink_to(TYPESCRIPT.parents[1] / name)
    (modules / "@glimpse").mkdir()
    (modules / "@glimpse" / "client").symlink_to(ROOT / "clients" / "js")
    assert reader.follow(page.replace(command, "")).splitlines() == ["consumed"]


def test_notifications(reader: Reader) -> None:
    assert reader.follow(section("Notifications without a vendor's account")).splitlines() == ["delivered"]


def test_each_program_that_is_shown_is_run() -> None:
    shown = {NAMED.findall(PAGE[: block.start()])[-1] for block in BLOCK.finditer(PAGE) if block[1] != "sh"}
    assert shown
    runners = {".py": "phone/bin/python ", ".mts": "tsc --strict --types node --module nodenext "}
    assert [name for name in shown if runners[Path(name).suffix] + name not in PAGE] == []


def test_no_block_is_left_out() -> None:
    sections = ["A server", "In the terminal", "In Python", "In TypeScript", "Notifications without a vendor's account"]
    assert sum(len(BLOCK.findall(section(each))) for each in sections) == len(BLOCK.findall(PAGE))


def test_each_error_that_it_explains_is_one_of_the_catalogue() -> None:
    codes = set(re.findall(r"^\| \d{3} \| `(\w+)` \|", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.MULTILINE))
    rows = re.findall(r"^\| (`[^|]*`) \|", section("When something fails"), re.MULTILINE)
    named = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert len(named) > 15
    assert named <= codes
