# SPDX-License-Identifier: Apache-2.0
"""`@glimpse/client` as a package: its types are those of its source, and what `npm pack` makes of it works."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Server, phone_number, running

PACKAGE = ROOT / "clients" / "js"
TSC = ROOT / "tests/web/node/node_modules/.bin/tsc"
PROGRAM = """
import {Glimpse} from '@glimpse/client';
const client = new Glimpse();
await client.register({phone_num: process.argv[2], nickname: 'Ann'});
console.log((await client.call('GET', '/v1/me')).nickname);
"""

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed (make test-deps)")


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    with running(new_folder("package")) as server:
        yield server


@pytest.mark.skipif(not TSC.exists(), reason="TypeScript is not installed (make test)")
def test_its_types_are_those_of_its_source(tmp_path: Path) -> None:
    judged = subprocess.run(
        [TSC, "-p", PACKAGE / "tsconfig.json", "--outDir", tmp_path], capture_output=True, text=True, check=False
    )
    assert (judged.stdout, judged.returncode) == ("", 0)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (PACKAGE / "types").iterdir()}
    assert made == kept, "run tests/web/node/node_modules/.bin/tsc -p clients/js/tsconfig.json"


@ON_SQLITE
def test_what_npm_packs_works_in_a_fresh_folder(server: Server, tmp_path: Path) -> None:
    packed = json.loads(npm("pack", "--json", "--pack-destination", tmp_path, PACKAGE, folder=tmp_path))
    assert {file["path"].partition("/")[0] for file in packed[0]["files"]} == {"package.json", "src", "types"}
    npm("install", "--offline", "--no-audit", "--no-fund", tmp_path / packed[0]["filename"], folder=tmp_path)
    (tmp_path / "program.mjs").write_text(PROGRAM)
    done = subprocess.run(
        ["node", "program.mjs", f"+86{phone_number()}"],
        cwd=tmp_path,
        env={**os.environ, "GLIMPSE_URL": f"http://127.0.0.1:{server.port}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Ann\n", "")


def npm(*words: str | Path, folder: Path) -> str:
    done = subprocess.run(["npm", *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
