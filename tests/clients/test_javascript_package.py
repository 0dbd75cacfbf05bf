# SPDX-License-Identifier: Apache-2.0
"""`@glimpse/client` as a package: its types are those of its source, and what `npm pack` makes of it works."""

import json
import re
import shutil
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.browser import MISSING, chromium
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Server, phone_number, running
from tests.support.pictures import png

PACKAGE = ROOT / "clients" / "js"
TSC = ROOT / "tests/web/node/node_modules/.bin/tsc"
LIFE = """
import {Glimpse} from '@glimpse/client';

export async function life({url, numbers, email}) {
  const [ann, ben, desk] = [0, 1, 2].map(() => new Glimpse({url}));
  await ann.register({phone_num: numbers[0], nickname: 'Ann'});
  const {uid} = await ben.register({phone_num: numbers[1], nickname: 'Ben'});
  await ben.addPassword({email, password: 'correct horse'});
  await desk.logIn({email, password: 'correct horse'});
  const picture = Uint8Array.from(atob('PICTURE'), (each) => each.charCodeAt(0));
  const sent = await ann.sendImage({receiver_uid: uid}, new Blob([picture]));
  const {type, size} = await desk.openImage(sent.message_key);
  const {state} = await ann.call('GET', `/v1/images/${sent.message_key}/status`);
  await desk.signOut();
  return [type, size === picture.length, state, await desk.session.credentials() ?? null];
}
""".replace("PICTURE", b64encode(png()).decode())
NODE = """
import {life} from './life.mjs';
console.log(JSON.stringify(await life(JSON.parse(process.argv[2]))));
"""
PAGE = """<!doctype html>
<script type="importmap">{"imports": {"@glimpse/client": "/node_modules/@glimpse/client/src/index.js"}}</script>
"""

LIVED = ["image/png", True, "consumed", None]

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed (make test-deps)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder into which what `npm pack` makes is installed."""
    folder = tmp_path_factory.mktemp("app")
    packed = json.loads(npm("pack", "--json", "--pack-destination", folder, PACKAGE, folder=folder))
    parts = {file["path"].partition("/")[0] for file in packed[0]["files"]}
    assert parts == {"package.json", "README.md", "src", "types"}
    npm("install", "--offline", "--no-audit", "--no-fund", folder / packed[0]["filename"], folder=folder)
    for name, text in {"life.mjs": LIFE, "node.mjs": NODE, "index.html": PAGE}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def origin(folder: Path) -> Iterator[str]:
    """Where the app's own files are served, which is not where Glimpse is."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        yield f"http://localhost:{files.server_port}"
        files.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, origin: str) -> Iterator[Server]:
    with running(new_folder("package"), {"server": {"cors_origins": [origin]}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def given(server: Server) -> dict[str, object]:
    numbers = [f"+86{phone_number()}" for _ in range(2)]
    return {"url": f"http://127.0.0.1:{server.port}", "numbers": numbers, "email": f"ben{numbers[1]}@example.org"}


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
def test_what_npm_packs_lives_in_node(folder: Path, given: dict[str, object]) -> None:
    command = ["node", "node.mjs", json.dumps(given)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == LIVED


@ON_SQLITE
@pytest.mark.skipif(bool(MISSING), reason="Chromium is not installed (make test-deps)")
def test_what_npm_packs_lives_in_a_page_of_another_origin(origin: str, given: dict[str, object]) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(origin)
        life = "async (given) => (await import('/life.mjs')).life(given)"
        assert page.evaluate(life, given) == LIVED


@ON_SQLITE
def test_the_program_of_its_readme(folder: Path, server: Server) -> None:
    [program] = re.findall(r"^```js\n(.*?)^```$", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (folder / "photo.png").write_bytes(png())
    (folder / "readme.mjs").write_text(program.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{server.port}"))
    command = ["node", "readme.mjs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout == f"image/png {len(png())}\n", done.stderr


def npm(*words: str | Path, folder: Path) -> str:
    done = subprocess.run(["npm", *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
