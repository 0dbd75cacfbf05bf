# SPDX-License-Identifier: Apache-2.0
"""A disk that fails once: the n-th call of a server on a file below its data directory gets an error of ours.

`failing_io.c` stands between the server and libc: whoever calls, Python or SQLite, meets it. Needs a C compiler.
"""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMPILER = shutil.which("cc")
PLAN = struct.Struct("ll32s")
"""As the C file's struct: calls until one fails, its errno, which it was."""


class FailingIo:
    """The next fault of one server, which is to be started with `environment`."""

    def __init__(self, folder: Path, under: Path) -> None:
        assert COMPILER
        library, plan = folder / "failing_io.so", folder / "failing_io.plan"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        plan.write_bytes(bytes(PLAN.size))
        with plan.open("r+b") as file:
            self._plan = mmap.mmap(file.fileno(), PLAN.size)
        under.mkdir(exist_ok=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAILING_IO_PLAN": str(plan),
            "FAILING_IO_UNDER": str(under),
        }

    @contextmanager
    def failing(self, nth: int, error: int) -> Iterator[None]:
        """In this block the n-th call fails; whether it came to that, and which it was, says `failed`."""
        PLAN.pack_into(self._plan, 0, 0, error, b"")
        PLAN.pack_into(self._plan, 0, nth, error, b"")
        try:
            yield
        finally:
            PLAN.pack_into(self._plan, 0, 0, error, PLAN.unpack(self._plan)[2])

    @property
    def failed(self) -> str:
        """The call that failed last; nothing if none did."""
        what: bytes = PLAN.unpack(self._plan)[2]
        return what.rstrip(b"\0").decode()
