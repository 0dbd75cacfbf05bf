# SPDX-License-Identifier: Apache-2.0
"""How much a server grows under many large uploads at once, beside as many readers that read nothing."""

import multiprocessing
import socket
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench import load
from bench.requests import fetch, send
from bench.targets import Target, glimpse_settings, python_module
from tests.support.harness import running
from tests.support.pictures import jpeg

LARGE_BYTES = 20_000_000
UPLOADS = READERS = 100
SMALL_BUFFER_BYTES = 4096


def growth_mb(folder: Path) -> float:
    """The most that was resident with 100 uploads of 20 MB and 100 stalled readers, less what was before (MB).

    Before: after one such upload and one such download.
    """
    picture = jpeg(LARGE_BYTES)
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        emulator = stack.enter_context(python_module("emulators", "getui"))
        server = stack.enter_context(running(folder, glimpse_settings(emulator)))
        assert server.process
        glimpse = Target(server.process.pid, server.port)
        ann, ben = server.register(), server.register()
        key = ann.send(ben, picture).headers["Message-Key"]
        ben.get(key, params={"ack": "manual"})
        glimpse.forget_peak()
        before = glimpse.resident_mb
        for _ in range(READERS):
            reader = stack.enter_context(_reader(server.port))
            reader.sendall(fetch(ben, "?ack=manual").head.replace("{}", key).encode())
            reader.recv(1)
        script, names = [send(ann, ben, picture)], ["once"] * UPLOADS
        pool.submit(load.run, server.port, script, connections=UPLOADS, names=names).result()
        return glimpse.peak_mb - before


def _reader(port: int) -> socket.socket:
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    reader.connect(("127.0.0.1", port))
    return reader
