# SPDX-License-Identifier: Apache-2.0
"""A child that decodes: confined, and nobody's trouble however it ends."""

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from struct import pack

import pytest
from PIL import Image

from previewing.maker import BLAME_SECONDS, Made, PreviewMaker
from tests.support import PATIENCE, ROOT
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

READ = "import sys; sys.stdout.buffer.write(b'ready'); sys.stdout.flush(); sys.stdin.buffer.read(10); "
HANGS = (sys.executable, "-c", READ + "import time; time.sleep(600)")
DIES = (sys.executable, "-c", READ + "import os; os.abort()")
LIES = (sys.executable, "-c", READ + "sys.stdout.buffer.write(b'\\xff' * 6); sys.stdout.flush(); sys.stdin.read()")
NEVER_STARTS = (sys.executable, "-c", "raise SystemExit(1)")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of a process, which sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def making(*, patient: bool = True, **how: object) -> AsyncIterator[PreviewMaker]:
    maker = PreviewMaker(**({"turn_seconds": PATIENCE, "seconds": 2 * PATIENCE} if patient else {}), **how)  # type: ignore[arg-type]
    maker.start()
    try:
        yield maker
    finally:
        await maker.close()


async def made(maker: PreviewMaker, data: bytes, whose: int = 1) -> Made | None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    return await maker.make(whose, len(data), pieces())


def picture(name: str = "JPEG", size: tuple[int, int] = (900, 600)) -> bytes:
    out = BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(out, name)
    return out.getvalue()


def png_bomb(side: int) -> bytes:
    """A PNG of that many pixels a side, in a few hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    squeezed = zlib.compressobj(9)
    rows = b"".join(squeezed.compress(bytes(1 + 8 * side)) for _ in range(side)) + squeezed.flush()
    head = pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_previews_are_made_one_after_the_other_by_one_child() -> None:
    async with making() as maker:
        await until(lambda: maker.pid is not None)
        pid = maker.pid
        found = await asyncio.gather(*(made(maker, picture(name)) for name in ("JPEG", "PNG", "GIF", "WEBP") * 3))
        assert all(each and each.preview.startswith(b"\xff\xd8") and len(each.placeholder) > 5 for each in found)
        assert maker.pid == pid


async def test_what_is_no_picture_costs_the_child_nothing() -> None:
    async with making() as maker:
        await until(lambda: maker.pid is not None)
        pid = maker.pid
        for data in (b"", b"no picture", picture()[:500], b"\xff\xd8" + bytes(300_000)):
            assert await made(maker, data) is None
        assert await made(maker, picture()) is not None
        assert maker.pid == pid


async def test_a_bomb_ends_without_a_preview_and_the_next_image_has_one() -> None:
    async with making() as maker:
        await until(lambda: maker.pid is not None)
        assert await made(maker, png_bomb(12_000), whose=1) is None
        await until(lambda: maker.pid is not None)
        assert await made(maker, picture(), whose=2) is not None


@pytest.mark.parametrize("command", [HANGS, DIES, LIES], ids=["hangs", "dies", "lies"])
async def test_a_child_that_fails_is_replaced_and_whose_image_it_was_gets_none_for_a_while(
    command: tuple[str, ...],
) -> None:
    clock = Clock()
    async with making(patient=False, command=command, seconds=0.6, turn_seconds=0.5, clock=clock.seconds) as maker:
        await until(lambda: maker.pid is not None)
        first = maker.pid
        assert await made(maker, b"x" * 1000, whose=1) is None
        await until(lambda: maker.pid is not None)
        assert maker.pid != first
        second = maker.pid
        assert await made(maker, b"x", whose=1) is None
        assert maker.pid == second
        clock.passes(BLAME_SECONDS)
        assert await made(maker, b"x", whose=1) is None
        assert maker.pid != second


async def test_a_child_that_the_kernel_kills_is_replaced() -> None:
    async with making() as maker:
        await until(lambda: maker.pid is not None)
        pid = maker.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        assert await made(maker, picture(), whose=1) is None
        await until(lambda: maker.pid not in (None, pid))
        assert await made(maker, picture(), whose=2) is not None


async def test_nobody_waits_long_behind_an_image_that_hangs() -> None:
    async with making(patient=False, command=HANGS, seconds=PATIENCE, turn_seconds=0.01) as maker:
        await until(lambda: maker.pid is not None)
        first = asyncio.create_task(made(maker, b"x" * 100, whose=1))
        await asyncio.sleep(0)
        assert await made(maker, b"x", whose=2) is None
        assert not first.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_without_a_child_nothing_waits() -> None:
    async with making(command=NEVER_STARTS) as maker:
        assert await made(maker, picture()) is None
    async with making(command=("/nothing/there",)) as maker:
        assert await made(maker, picture()) is None


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/tmp/x', 'w')",
        "import socket; socket.socket()",
        "import os; os.pipe()",
        "bytearray(700 * 1024 * 1024)",
    ],
)
async def test_the_child_can_open_nothing_and_take_no_more_memory(attempt: str) -> None:
    program = f"""
import socket
from previewing import child
child._warm_up(); child._confine()
try:
    {attempt}
except (OSError, MemoryError):
    print('refused')
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={}
    )
    said, _ = await process.communicate()
    assert said == b"refused\n"


async def test_the_child_has_nothing_of_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_DATABASE__PASSWORD", "secret")
    async with making() as maker:
        await until(lambda: maker.pid is not None)
        environment = await asyncio.to_thread(Path(f"/proc/{maker.pid}/environ").read_bytes)
        assert b"GLIMPSE" not in environment
