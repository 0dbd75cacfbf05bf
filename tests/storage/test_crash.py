# SPDX-License-Identifier: Apache-2.0
"""What is left when the process dies at each point, and what a truly full disk does. Each runs in its own process."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.keys import path_of
from tests.support import ROOT

KEY = "abcd" + "0" * 60

SEND = """
import asyncio, sys
from pathlib import Path
from storage.disk import DiskStore

async def main():
    store = DiskStore(Path(sys.argv[1]))
    with store.reserve(4) as room:
        writer = await store.create(room)
        await writer.write(b"so")
        await writer.commit(sys.argv[2], b"me")
    if len(sys.argv) > 3:
        await store.remove(sys.argv[2])
    store.close()

asyncio.run(main())
"""

FILL = """
import asyncio, os, sys
from pathlib import Path
from models.errors import StorageFull
from storage.disk import DiskStore
from storage.keys import message_key

root = Path(sys.argv[1])
ballast = root.parent / "ballast"

def fill(free_bytes):
    disk = os.statvfs(root)
    ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - free_bytes))

async def send(store, free_bytes):
    key = message_key(1, 2, 3, os.urandom(16))
    with store.reserve(150_000) as room:
        fill(free_bytes)
        writer = await store.create(room)
        try:
            for _ in range(3):
                await writer.write(bytes(40_000))
            await writer.commit(key, bytes(30_000))
        finally:
            await writer.abort()
            ballast.unlink()
    return key

async def main():
    store = DiskStore(root, min_free_bytes=0)
    kept = await send(store, 400_000)
    for free_bytes in range(0, 150_000, 10_000):
        try:
            await send(store, free_bytes)
        except StorageFull:
            continue
        raise SystemExit("a full disk took an image")
    blob = await store.open(kept)
    assert await blob.read(0, 150_000) == bytes(150_000)
    blob.close()
    assert [path.name for path in root.rglob("*") if path.is_file()] == [kept]
    assert store.healthy and store.stored_bytes == 150_000
    fill(0)
    assert await store.remove(kept)
    ballast.unlink()
    await send(store, 400_000)
    store.close()

asyncio.run(main())
"""


def run(script: str, *args: str, fault: str = "") -> int:
    environment = {**os.environ, "GLIMPSE_FAULT": fault} if fault else dict(os.environ)
    return subprocess.run([sys.executable, "-c", script, *args], cwd=ROOT, env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("fault", "there"),
    [
        ("before_link", False),
        ("after_link", True),
        ("after_dirsync", True),
        ("before_unlink", True),
        ("after_unlink", False),
    ],
)
def test_a_killed_process_leaves_a_whole_image_or_none(tmp_path: Path, fault: str, there: bool) -> None:
    root = tmp_path / "images"
    assert run(SEND, str(root), KEY, *(["remove"] if "unlink" in fault else []), fault=fault) == -signal.SIGKILL
    assert [path.read_bytes() for path in root.rglob("*") if path.is_file()] == ([b"some"] if there else [])
    assert (root / path_of(KEY)).exists() == there


def test_a_disk_that_fills_up_refuses_and_keeps_what_it_took(tmp_path: Path) -> None:
    inside = 'mount -t tmpfs -o size=1m,mode=700 none "$1" && exec "$2" -c "$3" "$1/images"'
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    command = [unshare, "-rm", "sh", "-c", inside, "sh", str(tmp_path), sys.executable, FILL]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
