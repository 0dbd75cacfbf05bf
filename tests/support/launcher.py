# SPDX-License-Identifier: Apache-2.0
"""Processes that need not import everything again: one that has imported a program once forks one for each test.

A fork runs the program's own `main` with its own arguments, environment, session and output, and ends as it would.
What only a fresh interpreter can show is tested by starting one.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO, Any

from app import program
from config.sources import shipped
from handlers.docs import docs_page
from handlers.openapi import document_bytes
from httpclient.trust import usual_trust
from tests.support import ROOT
from tests.support.statements import statements

MESSAGE_BYTES = 256 * 1024
DEFAULT_SIGNALS = ("env", "--default-signal=INT,HUP")
"""Before a command: the signals do there what they do by themselves, however the tests were started (nohup, `&`)."""
RAN_BEFORE = ("models.fault",)
"""Modules that read the environment when they are imported."""


class Launched:
    """One process, as `subprocess.Popen` would show it. `stdout` is what it prints."""

    def __init__(self, stdout: IO[str], said: IO[bytes]) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._said = said
        self.pid = int(said.readline())

    def poll(self) -> int | None:
        """The exit code, minus a signal's number, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._said], [], [], timeout)[0]:
            self.returncode = int(self._said.readline())
            self._said.close()
        return self.returncode


def launch(module: str, arguments: Sequence[str], *, stderr: IO[Any], environment: Mapping[str, str]) -> Launched:
    """Run `main` of a module as `python -m module arguments…` would, in the checkout, with this environment."""
    output, printed = os.pipe()
    said, saying = os.pipe()
    message = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
    try:
        socket.send_fds(_parent_of(module), [message], [printed, stderr.fileno(), saying])
    finally:
        os.close(printed)
        os.close(saying)
    return Launched(os.fdopen(output, encoding="utf-8"), os.fdopen(said, "rb", buffering=0))


@cache
def _parent_of(module: str) -> socket.socket:
    """The way to a process that has imported this module. It ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*DEFAULT_SIGNALS, sys.executable, "-m", "tests.support.launcher", module, str(theirs.fileno())]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve(module: str, way: socket.socket) -> None:
    main = importlib.import_module(module).main
    if module == "app.serving":
        _make_what_is_made_once()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while True:
        message, descriptors, *_ = socket.recv_fds(way, MESSAGE_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            way.close()
            _keep(main, json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _make_what_is_made_once() -> None:
    """What each server makes at its start, or when it is first asked for."""
    document_bytes(), docs_page(), usual_trust("http/1.1"), shipped()
    for _, statement in statements():
        statement.sql("sqlite"), statement.sql("mysql")


def _keep(main: Any, asked: dict[str, Any], output: int, errors: int, saying: int) -> None:
    """Fork the program, and say its process id and then how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(saying)
        _become(main, asked, output, errors)
    os.close(output)
    os.close(errors)
    with contextlib.suppress(BrokenPipeError):
        os.write(saying, b"%d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(saying, b"%d\n" % code)
    os._exit(0)


def _become(main: Any, asked: dict[str, Any], output: int, errors: int) -> None:
    for descriptor, number in ((output, 1), (errors, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    if "LD_PRELOAD" in os.environ:  # what the dynamic linker is to do, it does in a fresh process
        os.execv(sys.executable, [sys.executable, "-m", main.__module__, *asked["arguments"]])
    for name in RAN_BEFORE:
        importlib.reload(sys.modules[name])
    sys.argv = ["", *asked["arguments"]]
    program.run(main)


if __name__ == "__main__":
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
