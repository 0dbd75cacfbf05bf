# SPDX-License-Identifier: Apache-2.0
"""Several worker processes: started, watched, replaced when they die, and ended together. Knows nothing of their work.

Plain and synchronous. A worker is a fork of this process, at the start and whenever one has to be replaced, so no
thread and no event loop may ever run here.
"""

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from app import program

SILENT_SECONDS = 30.0
"""A worker of which nothing is heard for so long hangs, or was stopped: longer than any pause of a living one."""
SERVING = 0x80
"""In what a worker reports: its number, and whether it says besides that it serves."""
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LEAVE = signal.SIGUSR1
"""Tells a worker that others serve in its place, and it may finish what it took."""

log = logging.getLogger("glimpse.supervisor")


class Order(Enum):
    """How the workers are to end: as by SIGTERM, or as others serve in their place."""

    STOP = auto()
    LEAVE = auto()


class Orders(Protocol):
    """Where orders come from: readable when there is one, or there will be no more."""

    def fileno(self) -> int: ...

    def next_order(self) -> Order | None: ...


@dataclass(frozen=True, slots=True)
class WorkerHandle:
    """A worker's link to its supervisor. `number` counts from 0; `lost` hits EOF when the supervisor dies.

    A worker says that it lives several times in `silent_seconds`, or it is replaced.
    """

    number: int
    lost: int
    reports: int

    def say_serving(self) -> None:
        """Tell the supervisor that requests are answered from now on."""
        self._say(self.number | SERVING)

    def say_alive(self) -> None:
        """Tell the supervisor that the loop still turns."""
        self._say(self.number)

    def _say(self, what: int) -> None:
        with suppress(BlockingIOError):  # a supervisor that was stopped finds enough when it goes on
            os.write(self.reports, bytes([what]))


@dataclass(slots=True)
class WorkerSlot:
    """A worker's place. `pid` is 0 while it is empty; `heard` is when its worker last said a word. Times are of the
    monotonic clock.
    """

    number: int
    pid: int = 0
    began: float = 0.0
    heard: float = 0.0
    due: float = 0.0
    young_deaths: int = 0
    serving: bool = False


class Supervisor:
    """Keeps `count` workers at `work`, which returns an exit code and is to end by SIGTERM within `end_seconds`.

    `on_serving` is called once, when all serve for the first time; `on_death` with the number of each worker that is
    no more, before another takes its place; `on_end` before the workers are told to end. Who leaves by an order may
    take `leave_seconds`.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[WorkerHandle], int],
        *,
        end_seconds: float,
        silent_seconds: float = SILENT_SECONDS,
        leave_seconds: float = 0.0,
        orders: Orders | None = None,
        on_serving: Callable[[], None],
        on_death: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        self._slots = [WorkerSlot(number) for number in range(count)]
        self._work = work
        self._end_seconds = end_seconds
        self._silent_seconds = silent_seconds
        self._on_serving, self._on_death, self._on_end = on_serving, on_death, on_end
        self._leave_seconds = leave_seconds
        self._orders = orders
        self._serves = False
        self._stopping = self._stops_at_once = False
        self._code = 0
        self._woken, self._wakes = _pipe()
        self._heard, self._reports = _pipe()
        self._lost, self._held = os.pipe()

    def run(self) -> int:
        """Until a signal ends it, or a worker that cannot start at all. The exit code: 0 after a clean end."""
        with self._signals():
            while not self._stopping:
                self._start_due()
                self._wait(self._next_due())
                self._end_silent()
            self._end()
        return self._code

    def _start_due(self) -> None:
        for slot in self._slots:
            if not slot.pid and slot.due <= time.monotonic():
                self._start(slot)

    def _next_due(self) -> float:
        return min(slot.heard + self._silent_seconds if slot.pid else slot.due for slot in self._slots)

    def _end_silent(self) -> None:
        """Kill the workers of which nothing was heard for too long: they are replaced like any that dies."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid and now >= slot.heard + self._silent_seconds:
                log.error("a worker does not answer", extra={"worker": slot.number, "pid": slot.pid})
                slot.heard = now
                os.kill(slot.pid, signal.SIGKILL)  # a stopped process takes no other signal

    def _wait(self, until: float | None) -> None:
        """For a signal, a report or the time, and take note of what has happened."""
        seconds = None if until is None else max(0.0, until - time.monotonic())
        waited_for: list[int | Orders] = [self._woken, self._heard, *([self._orders] if self._orders else [])]
        ready = select.select(waited_for, [], [], seconds)[0]
        with suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass
        if self._orders in ready:
            self._obey()
        self._hear()
        self._reap()

    def _obey(self) -> None:
        assert self._orders
        order = self._orders.next_order()
        if order is not None:
            self._stopping = True
        if order is Order.STOP:
            self._stops_at_once, self._orders = True, None

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while said := os.read(self._heard, 512):
                for each in said:
                    slot = self._slots[each & ~SERVING]
                    slot.heard = time.monotonic()
                    slot.serving |= bool(each & SERVING)
        if not self._serves and not self._stopping and all(slot.serving for slot in self._slots):
            self._serves = True
            self._on_serving()

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for slot in self._slots:
                    if slot.pid == ended[0]:
                        self._bury(slot, os.waitstatus_to_exitcode(ended[1]))

    def _bury(self, slot: WorkerSlot, code: int) -> None:
        """Its worker has ended with this code, or by a signal whose number is negative here."""
        pid, slot.pid = slot.pid, 0
        self._on_death(slot.number)
        if self._stopping:
            self._code = self._code or max(0, code)
            return
        if code > 0 and not self._serves:
            self._stopping = self._stops_at_once = True
            self._code = code
            return
        now = time.monotonic()
        slot.young_deaths = slot.young_deaths + 1 if now - slot.began < program.YOUNG_SECONDS else 0
        pause = program.pause_after(slot.young_deaths)
        slot.due, slot.serving = now + pause, False
        told = {"worker": slot.number, "pid": pid, "exit": code, "pause_seconds": pause}
        log.log(logging.ERROR if code else logging.WARNING, "a worker ended", extra=told)

    def _start(self, slot: WorkerSlot) -> None:
        slot.began = slot.heard = time.monotonic()
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {*ENDS, signal.SIGCHLD})
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            slot.pid = os.fork()
            if not slot.pid:
                self._become(slot.number, previous)
        except OSError as error:
            slot.young_deaths += 1
            slot.due = time.monotonic() + program.pause_after(slot.young_deaths)
            log.error("a worker cannot be started", extra={"worker": slot.number, "reason": error.strerror})
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    def _become(self, number: int, mask: set[int | signal.Signals]) -> None:
        """Be the worker, in the forked process, and end it. What is said to the terminal is for the supervisor."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for each in (signal.SIGINT, signal.SIGHUP):
                signal.signal(each, signal.SIG_IGN)
            for each in (signal.SIGTERM, signal.SIGCHLD, LEAVE):
                signal.signal(each, signal.SIG_DFL)
            for descriptor in (self._woken, self._wakes, self._heard, self._held):
                os.close(descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            code = self._work(WorkerHandle(number, self._lost, self._reports))
        except Exception:
            log.exception("a worker failed")
        finally:
            program.end(code)

    def _end(self) -> None:
        """Let every worker end, and end those that do not."""
        self._on_end()
        if not self._stops_at_once:
            self._let_leave()
        self._kill(signal.SIGTERM)
        deadline = time.monotonic() + self._end_seconds
        while self._running() and time.monotonic() < deadline:
            self._wait(deadline)
        if self._running():
            log.error("workers did not end in time", extra={"pids": self._running()})
            self._code = self._code or 1
            self._kill(signal.SIGKILL)
        while self._running():
            self._wait(None)

    def _let_leave(self) -> None:
        """Let every worker finish what it took, until all is to end at once."""
        self._kill(LEAVE)
        deadline = time.monotonic() + self._leave_seconds
        while self._running() and not self._stops_at_once and time.monotonic() < deadline:
            self._wait(deadline)

    def _kill(self, number: signal.Signals) -> None:
        for pid in self._running():
            os.kill(pid, number)  # not reaped, so the number is still its own

    def _running(self) -> list[int]:
        return [slot.pid for slot in self._slots if slot.pid]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals end `_wait`: SIGTERM, SIGINT and SIGHUP stop, but for those that were ignored at the start."""

        def stop(_number: int, _frame: object) -> None:
            self._stopping = self._stops_at_once = True

        wanted = {number: stop for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN}
        wanted[signal.SIGCHLD] = lambda _number, _frame: None
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        previous = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)


def _pipe() -> tuple[int, int]:
    """The end to read and the end to write, both of which never wait."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return reading, writing
