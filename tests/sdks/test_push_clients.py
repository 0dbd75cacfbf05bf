# SPDX-License-Identifier: Apache-2.0
"""docs/push-clients.md: the service worker is run by Node against a server, and `Glimpse.kt` on a JVM; the rest of the
Kotlin is compiled, where its compiler is installed (`make test-sdks`).
"""

import re
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from tests.process.test_previews import THUMB, notification, notifying, sent
from tests.sdks.launching import HERE, by_node
from tests.sdks.test_generated_java import KOTLINC, SECONDS
from tests.support import ROOT, java
from tests.support.engines import ON_SQLITE
from tests.support.harness import running
from tests.support.pictures import jpeg

pytestmark = ON_SQLITE

PAGE = (ROOT / "docs/push-clients.md").read_text("utf-8")


def test_the_service_worker_shows_takes_and_acknowledges(tmp_path: Path) -> None:
    picture = jpeg(5000)
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        reply = ann.send(ben, picture)
        key, message_id = reply.headers["Message-Key"], int(reply.headers["Message-Id"])
        told = {"message_id": message_id, "message_key": key, "thumbnail_url": "https://x.example/v1/thumbnails/t"}
        [source] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
        said = by_node(
            "service_worker",
            source=source,
            origin=str(server.client.base_url).rstrip("/"),
            authorization=ben.basic,
            told=told,
        )
        assert b64decode(said["bytes"]) == picture
        assert ann.status(key)["state"] == "consumed"
    first, again, retrieved = said["shown"]
    assert first == again
    assert (first["tag"], first["image"]) == (str(message_id), told["thumbnail_url"])
    assert retrieved["tag"] == "account_retrieved"
    assert said["failed"] == ["HTTP 503"]  # and the second click asks again
    assert said["opened"] == [f"/#image={key}"] * 2
    assert said["authorized"] is False


NEEDS_KOTLIN = pytest.mark.skipif(
    bool(java.MISSING) or not KOTLINC.exists(), reason="no Java or no Kotlin compiler (make test-deps test-sdks)"
)


def kotlin() -> list[str]:
    return re.findall(r"```kotlin\n(.*?)```", PAGE, re.DOTALL)


def compiled(folder: Path, sources: list[str], *others: Path) -> Path:
    """A program of these texts and of what is in the others."""
    texts = [folder / f"source{number}.kt" for number in range(len(sources))]
    for file, source in zip(texts, sources, strict=True):
        file.write_text(source)
    program = folder / "program.jar"
    command = ["bash", str(KOTLINC), "-include-runtime", "-d", str(program), *map(str, [*texts, *others])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return program


@NEEDS_KOTLIN
def test_the_compiler_takes_the_kotlin(tmp_path: Path) -> None:
    """What it calls of Android and of the vendors is declared by hand."""
    compiled(tmp_path, kotlin(), HERE / "push_clients", HERE / "android/content.kt")


@NEEDS_KOTLIN
def test_the_kotlin_shows_takes_and_acknowledges(tmp_path: Path) -> None:
    program = compiled(tmp_path, kotlin()[:1], HERE / "taking.kt")
    with notifying(tmp_path, "preview") as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="the first token")
        [device] = ben.request("GET", "/v1/devices").json()["items"]
        picture = jpeg(5000)
        key = sent(ann, ben, picture)
        told = notification(server, key)
        own = str(server.client.base_url).rstrip("/")
        shown = told["thumbnail_url"].replace("https://x.example", own)
        given = [own, ben.basic, tmp_path, told["message_id"], key, shown, device["device_id"], "another token"]
        done = subprocess.run(
            ["java", "-jar", program, *map(str, given)], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        kept = tmp_path / key
        assert done.stdout.split() == ["true", str(len(THUMB)), str(kept), "false", "null", str(kept)]
        assert kept.read_bytes() == picture
        assert ann.status(key)["state"] == "consumed"
        assert server.database.rows("SELECT token FROM devices WHERE ended_at IS NULL") == [("another token",)]
