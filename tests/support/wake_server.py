# SPDX-License-Identifier: Apache-2.0
"""A private server for wake-ups, Valkey's or Redis', which is real: a port of its own on loopback, gone when this
process is gone.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from tests.support.stopping import hang

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
ACCOUNT = ("glimpse", "only/of:this@test")
RIGHTS = "resetchannels &glimpse:* -@all +subscribe +publish +ping +hello +auth +client"
"""What docs/scaling.md has the operator give it, and nothing else."""
# Removes all when the pipe from this process is closed, be it by `close` or by the death of this process.
WATCHER = 'read -r _; kill -9 $(cat "$1/pid") 2>/dev/null; rm -rf "$1"'


class WakeServer:
    """One that runs. With `tls`, the settings `server.tls` of a certificate, it speaks that alone."""

    def __init__(self, tls: dict[str, str] | None = None) -> None:
        assert PROGRAM, "no redis-server is installed (make test-deps)"
        self.directory = Path(tempfile.mkdtemp(prefix="glimpse-wake-"))
        self.log = self.directory / "log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._tls = tls
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCHER, "sh", str(self.directory)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._process: subprocess.Popen[bytes] | None = None
        (self.directory / "acl").write_text(f"user default off\nuser {ACCOUNT[0]} on >{ACCOUNT[1]} {RIGHTS}\n")
        self.start()

    @property
    def url(self) -> str:
        """As `wake.url` wants it."""
        place = f"{quote(ACCOUNT[0])}:{quote(ACCOUNT[1], safe='')}@127.0.0.1:{self.port}"
        return f"rediss://{place}?ssl_ca={self._tls['cert']}" if self._tls else f"redis://{place}"

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        """What the configuration says of it."""
        return {"wake": {"url": self.url}}

    def start(self) -> None:
        """Start it, again after `kill`, on the same port; returns when it answers."""
        assert PROGRAM
        ports = ["--port", str(self.port)]
        if self._tls:
            files = ["--tls-cert-file", self._tls["cert"], "--tls-key-file", self._tls["key"]]
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *files]
        own = ["--dir", str(self.directory), "--aclfile", str(self.directory / "acl"), "--save", ""]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "--bind", "127.0.0.1", *ports, *own], stdout=log, stderr=log, start_new_session=True
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{PROGRAM} did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL, and wait."""
        assert self._process
        self._process.kill()
        self._process.wait(60)

    def freeze(self) -> None:
        """Stop it where it is, as a machine that hangs."""
        assert self._process
        hang(self._process.pid)

    def thaw(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and remove the directory."""
        assert self._watcher.stdin
        self._watcher.stdin.close()
        if self._process:
            self._process.wait(60)
        self._watcher.wait(60)
