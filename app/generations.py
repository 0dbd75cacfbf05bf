# SPDX-License-Identifier: Apache-2.0
"""The main process: it holds the sockets, and starts generations of the server, of which one serves.

SIGHUP starts another generation by exec: new code, new settings, on the same sockets and under the same lock. When it
says that it serves, the one before finishes what it took; one that does not come up leaves everything as it was. This
process stays small and knows no settings: what it has to know a generation tells it (`app.generation_link`).
"""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from app import program
from app.status_file import forget_status, write_status

LINK = "SERVER_LINK"
"""The variable by which a generation finds the descriptor of its way to this process."""
GIVEN = "given"
"""The name of sockets that the service manager opened, and of no others."""
LOCK = "lock"
"""The name of the lock on the data directory, which no moment may be without."""
LONGEST_WORD = 64 * 1024
MOST_DESCRIPTORS = 250
"""The kernel passes 253 in one message: a worker has one socket of its own, and there are 64 at most."""
FIRST_GIVEN = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
START_SECONDS = 120.0
"""A generation that does not serve by then is ended. A database server alone is waited for half a minute."""
LATE_SECONDS = 6.0
"""A generation may take so much longer than it said before it is killed: first it kills workers of its own."""
TERMINAL = "/dev/tty"
OURS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", LINK)
"""Variables that are meant for this process alone."""


@dataclass(eq=False, slots=True)
class Generation:
    """One run of the server. `told` is what it said of itself when it served; times are of the monotonic clock."""

    number: int
    pid: int
    link: socket.socket
    began: float
    ends_by: float
    told: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    is_silent: bool = False
    since: float = 0.0


class Generations:
    """Keeps one generation of `command` serving until SIGTERM or SIGINT. `given` are the service manager's sockets."""

    def __init__(self, command: list[str], environment: Mapping[str, str], given: Sequence[int]) -> None:
        self._command = command
        self._environment = {name: value for name, value in environment.items() if name not in OURS}
        self._notify_socket = environment.get("NOTIFY_SOCKET", "")
        self._held = [(GIVEN, descriptor) for descriptor in given]
        self._serving: Generation | None = None
        self._coming: Generation | None = None
        self._leaving: list[Generation] = []
        self._count = 0
        self._young_deaths = 0
        self._due = -inf
        self._death: dict[str, Any] | None = None
        self._restart_wanted = self._stop_wanted = self._stopping = False
        self._code = 0
        self._data_dir: Path | None = None
        self._last_restart: dict[str, Any] | None = None
        self._had_terminal = _has_terminal()
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)

    def run(self) -> int:
        """Until a signal ends it, or no generation serves and none comes up. The exit code: 0 after a clean end."""
        with self._signals():
            while self._running() or not self._stopping:
                if self._stop_wanted and not self._stopping:
                    self._stop()
                elif self._is_start_due():
                    self._start()
                self._wait()
                self._kill_late()
        if self._data_dir is not None:
            forget_status(self._data_dir)
        return self._code

    def _running(self) -> list[Generation]:
        return [each for each in (self._serving, self._coming, *self._leaving) if each is not None]

    # -- starting --

    def _is_start_due(self) -> bool:
        if self._stopping or self._coming is not None:
            return False
        return self._restart_wanted if self._serving else time.monotonic() >= self._due

    def _start(self) -> None:
        """Another generation, which is given what is held and told whether one serves beside it."""
        self._restart_wanted = False
        self._count += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        now = time.monotonic()
        pid = self._fork(theirs)
        theirs.close()
        self._coming = Generation(self._count, pid, ours, began=now, ends_by=now + START_SECONDS)
        names = [name for name, _ in self._held]
        hello = {"number": self._count, "replaces": self._serving is not None, "held": names, "death": self._death}
        with suppress(OSError):  # it is no more: that is seen soon
            socket.send_fds(ours, [json.dumps(hello).encode()], [descriptor for _, descriptor in self._held])
        ours.setblocking(False)
        if self._serving is not None:
            self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def _fork(self, link: socket.socket) -> int:
        """The command in a process of its own, which only SIGTERM ends: other signals are for this one."""
        sys.stdout.flush()
        sys.stderr.flush()
        ignored = (signal.SIGINT, signal.SIGHUP)
        handled = {signal.SIGTERM, signal.SIGCHLD, *ignored}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in handled:
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            link.set_inheritable(True)
            environment = {**self._environment, LINK: str(link.fileno())}
            os.execve(self._command[0], self._command, environment)  # noqa: S606 - what this process was started as
        except OSError as error:
            os.write(2, f"Glimpse cannot start: {self._command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(1)

    # -- what happens --

    def _wait(self) -> None:
        """For a signal, a word or the next moment at which something is due, and take note of what has happened."""
        links = {each.link: each for each in self._running() if not each.is_silent}
        until = self._next_moment()
        seconds = None if until == inf else max(0.0, until - time.monotonic())
        waited_for: list[int | socket.socket] = [self._woken, *links]
        ready = select.select(waited_for, [], [], seconds)[0]
        with suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass
        for link in ready:
            if isinstance(link, socket.socket):
                self._hear(links[link])
        for generation in self._running():
            pid, status = os.waitpid(generation.pid, os.WNOHANG)
            if pid:
                self._hear(generation)
                self._bury(generation, os.waitstatus_to_exitcode(status))

    def _next_moment(self) -> float:
        if not self._running():
            return -inf if self._stopping else self._due
        return min(each.ends_by for each in self._running())

    def _hear(self, generation: Generation) -> None:
        """All that a generation has said."""
        with suppress(BlockingIOError, ConnectionError):
            while not generation.is_silent:
                said, descriptors, *_ = socket.recv_fds(
                    generation.link, LONGEST_WORD, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
                if not said:
                    generation.is_silent = True
                elif "reason" in (told := json.loads(said)):
                    generation.reason = told["reason"]
                else:
                    self._succeed(generation, told, descriptors)

    def _succeed(self, generation: Generation, told: dict[str, Any], descriptors: Sequence[int]) -> None:
        """It serves: the one before finishes what it took. What it listens on is what is held from now on."""
        if self._stopping:
            for each in descriptors:
                os.close(each)
            return
        before, self._serving, self._coming = self._serving, generation, None
        generation.told, generation.since, generation.ends_by = told, time.time(), inf
        self._let_go()
        self._held = list(zip(told["held"], descriptors, strict=True))
        self._data_dir, self._death = Path(told["data_dir"]), None
        if before is not None:
            self._leaving.append(before)
            before.ends_by = time.monotonic() + before.told["leave_seconds"] + LATE_SECONDS
            _say(before, "leave")
            self._remember("done", seconds=round(time.monotonic() - generation.began, 3))
        elif not self._leaving:
            _say(generation, "alone")
        self._publish()

    def _bury(self, generation: Generation, code: int) -> None:
        """It has ended with this code, or by a signal whose number is negative here."""
        generation.link.close()
        if generation is self._coming:
            self._coming = None
            self._give_up(generation, code)
        elif generation is self._serving:
            self._serving = None
            self._mourn(generation, code)
        else:
            self._leaving.remove(generation)
            if self._serving is not None and not self._leaving:
                _say(self._serving, "alone")
        self._publish()

    def _give_up(self, generation: Generation, code: int) -> None:
        """It did not come up: who serves goes on, and where nobody does, this is the end."""
        if self._serving is not None:
            reason = generation.reason or f"it ended with status {code} before it served"
            self._remember("refused", reason=reason)
            _say(self._serving, "refused", reason=reason)
        elif not self._stopping:
            self._code = code if code >= 0 else 1
            self._stop()

    def _mourn(self, generation: Generation, code: int) -> None:
        """The generation that served is gone. What comes meanwhile waits in the sockets' queues for another."""
        if self._stopping:
            self._code = self._code or max(0, code)
            return
        now = time.monotonic()
        self._young_deaths = self._young_deaths + 1 if now - generation.began < program.YOUNG_SECONDS else 0
        self._due = now + program.pause_after(self._young_deaths)
        self._death = {"pid": generation.pid, "exit": code}

    # -- ending --

    def _stop(self) -> None:
        """Let all end. Without this process's copies of the sockets whoever comes is refused, and waits for nobody."""
        self._stopping = True
        self._notify("STOPPING=1")
        self._let_go(but=LOCK)
        for generation in self._running():
            os.kill(generation.pid, signal.SIGTERM)  # not reaped, so the number is still its own
            generation.ends_by = time.monotonic() + generation.told.get("drain_seconds", 0.0) + LATE_SECONDS

    def _kill_late(self) -> None:
        for generation in self._running():
            if time.monotonic() >= generation.ends_by:
                generation.reason = generation.reason or f"it did not serve within {START_SECONDS:.0f} s"
                generation.ends_by = inf
                os.kill(generation.pid, signal.SIGKILL)
                self._code = 1 if self._stopping else self._code

    def _let_go(self, but: str = "") -> None:
        for name, descriptor in self._held:
            if name != but:
                os.close(descriptor)
        self._held = [each for each in self._held if each[0] == but]

    # -- telling --

    def _remember(self, outcome: str, **more: Any) -> None:
        self._last_restart = {"at": int(time.time() * 1000), "outcome": outcome, **more}

    def _publish(self) -> None:
        """Tell the service manager and the operator's commands how things are."""
        if self._data_dir is None or self._serving is None or self._stopping:
            return
        serving, last = self._serving, self._last_restart
        status = {
            "pid": os.getpid(),
            "generation": serving.number,
            "version": serving.told["version"],
            "since": int(serving.since * 1000),
            "serving_pid": serving.pid,
            "workers": serving.told["workers"],
            "leaving_pids": [each.pid for each in self._leaving],
            "last_restart": last,
        }
        write_status(self._data_dir, status)
        refused = f"; a restart was refused: {last['reason']}" if last and last["outcome"] == "refused" else ""
        self._notify("READY=1", f"STATUS=generation {serving.number}, version {serving.told['version']}{refused}")

    def _notify(self, *lines: str) -> None:
        """Source: sd_notify(3)."""
        if self._notify_socket:
            address = "\0" + self._notify_socket[1:] if self._notify_socket[0] == "@" else self._notify_socket
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way, suppress(OSError):
                way.sendto("\n".join(lines).encode(), address)

    # -- signals --

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals end `_wait`. A hangup that was ignored at the start stays so."""

        def stop(_number: int, _frame: object) -> None:
            self._stop_wanted = True

        def restart(_number: int, _frame: object) -> None:
            # The terminal that this was started from is gone: nobody has asked for a restart.
            if self._had_terminal and not _has_terminal():
                self._stop_wanted = True
            else:
                self._restart_wanted = True

        wanted = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: restart}
        wanted = {number: handler for number, handler in wanted.items() if signal.getsignal(number) != signal.SIG_IGN}
        wanted[signal.SIGCHLD] = lambda _number, _frame: None
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        for number, handler in wanted.items():
            signal.signal(number, handler)
        yield


def _say(generation: Generation, word: str, **more: str) -> None:
    with suppress(OSError):  # it is no more: that is seen soon
        generation.link.send(json.dumps({"word": word, **more}).encode())


def _has_terminal() -> bool:
    """Whether a terminal can still send its signals here."""
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def given_sockets(environment: Mapping[str, str]) -> list[int]:
    """The descriptors of sockets that a service manager opened for this process.

    Source: sd_listen_fds(3)
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    given = list(range(FIRST_GIVEN, FIRST_GIVEN + int(environment.get("LISTEN_FDS", "0"))))
    for descriptor in given:
        os.set_inheritable(descriptor, False)
    return given
