# SPDX-License-Identifier: Apache-2.0
"""What is measured, each as a process of its own, and what such a process has used."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulators.getui_rules import Keys

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
NGINX_CONF = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format name $uri;
    access_log {log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 10000000;
    client_max_body_size 32m;
    client_body_buffer_size 512k;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        dav_methods PUT;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs: its process, its port of loopback, and a process that helps it, if one does."""

    pid: int
    port: int
    helper: int | None = None

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, user and system, of all threads. Source: proc_pid_stat(5)."""
        return sum(_cpu_seconds(pid) for pid in (self.pid, self.helper) if pid is not None)

    @property
    def resident_mb(self) -> float:
        return self._status("VmRSS")

    @property
    def peak_mb(self) -> float:
        """The most that was resident since `forget_peak`. Source: proc_pid_status(5)."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Source: proc_pid_clear_refs(5)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) / 1024


def busy_cores(seconds: float = 2) -> float:
    """How many cores the machine's other work keeps busy, looked at for so long. Source: proc_stat(5)."""
    idle, began = _idle_seconds(), time.monotonic()
    time.sleep(seconds)
    cores = os.cpu_count() or 1
    return max(0.0, cores - (_idle_seconds() - idle) / (time.monotonic() - began))


def _idle_seconds() -> float:
    idle, iowait = Path("/proc/stat").read_text().split()[4:6]
    return (int(idle) + int(iowait)) / TICKS


def glimpse_settings(emulator: Target) -> dict[str, Any]:
    """Limits and quotas out of the way, pushes to the emulator, removal every second."""
    keys = Keys()
    return {
        "limits": {"enabled": False},
        "inbox": {"max_pending": 10**6, "max_pending_bytes": 10**12},
        "storage": {"min_free_bytes": 1},
        "delivery": {"grace_seconds": 1},
        "retention": {"interval_seconds": 1},
        "push": {
            "default_provider": "getui",
            "getui": {
                "base_url": f"http://127.0.0.1:{emulator.port}/v2",
                "app_id": keys.app_id,
                "app_key": keys.app_key,
                "master_secret": keys.master_secret,
            },
        },
    }


@contextmanager
def python_module(*command: str) -> Iterator[Target]:
    """`python -m …`, which prints its address first; ended with the block."""
    with process([sys.executable, "-u", "-m", *command]) as started:
        assert started.stdout
        found = re.search(r"http://127\.0\.0\.1:(\d+)", started.stdout.readline())
        assert found, f"{command} did not start"
        yield Target(started.pid, int(found[1]))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def syncing_nginx(folder: Path) -> Iterator[Target]:
    """As `nginx`, beside a process that syncs each file that was put and its directory."""
    folder.mkdir()
    fifo = folder / "names"
    os.mkfifo(fifo)
    (folder / "files").mkdir()
    command = [sys.executable, "-m", "bench.syncing", str(fifo), str(folder / "files")]
    with process(command) as helper:
        assert helper.stdout
        assert helper.stdout.readline()
        with nginx(folder, log=f"{fifo} name") as found:
            yield replace(found, helper=helper.pid)


@contextmanager
def nginx(folder: Path, log: str = "") -> Iterator[Target]:
    """One process of nginx that takes PUT and GET of the files under `folder`."""
    port = free_port()
    (folder / "files").mkdir(parents=True, exist_ok=True)
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, port=port, log=log or folder / "access.log"))
    with process([nginx_path(), "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log")]) as started:
        wait_for(port)
        yield Target(started.pid, port)


def nginx_path() -> str:
    """Where nginx is, empty when it is not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


@contextmanager
def process(command: Sequence[str], log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program for the length of a block; what it prints can be read, or goes to `log`."""
    with ExitStack() as stack:
        output = subprocess.PIPE if log is None else stack.enter_context(log.open("w"))
        errors = None if log is None else subprocess.STDOUT
        started = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=errors, text=True))
        try:
            yield started
        finally:
            started.terminate()


def free_port() -> int:
    """One of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until somebody listens on this port of loopback. Raises TimeoutError."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError("nobody listens")
