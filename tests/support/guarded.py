# SPDX-License-Identifier: Apache-2.0
"""A program with a directory of its own that runs beside the tests, and is gone with it when this process is gone."""

import atexit
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

MEMORY = Path("/dev/shm")
# Removes all when the pipe from this process is closed, be it by `close` or by the death of this process.
WATCHER = 'read -r _; kill -9 $(cat "$1/pid") 2>/dev/null; rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; }'


class Guarded:
    """One such program, which a subclass starts by `run` as often as it likes. `directory` holds its `log`."""

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        """`parent`: where the directory is made, in memory where there is such a place if not said."""
        fast = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent or fast))
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCHER, "sh", str(self.directory)], stdin=subprocess.PIPE, start_new_session=True
        )
        atexit.register(self._close_at_exit)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def run(self, command: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the program, which writes to the log."""
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, start_new_session=True
            )
        (self.directory / "pid").write_text(str(process.pid))
        return process

    def kill(self, number: int = signal.SIGKILL) -> None:
        """A signal that ends it, and wait."""
        assert self._process
        self._process.send_signal(number)
        self._process.wait(60)
        (self.directory / "pid").unlink(missing_ok=True)

    def close(self) -> None:
        """End it and remove the directory."""
        atexit.unregister(self._close_at_exit)
        assert self._watcher.stdin
        self._watcher.stdin.close()
        if self._process:
            self._process.wait(60)
        self._watcher.wait(60)

    def _close_at_exit(self) -> None:
        if os.getpid() == self._owner:  # and not a fork of it
            self.close()
