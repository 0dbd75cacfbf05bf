# SPDX-License-Identifier: Apache-2.0
"""The supervisor alone, over workers that do nothing: how it starts, replaces and ends them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.harness import wait_until
from tests.support.launcher import DEFAULT_SIGNALS

PROGRAM = """
import os, select, signal, sys
from app.supervisor import Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # whole lines, whoever else says something

def idle(worker):
    os.read(worker.lost, 1)
    os._exit(7)

def patient(worker):
    worker.say_serving()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say("serves", worker.number, os.getpid())
    idle(worker)

def deaf(worker):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker.say_serving()
    say("serves", worker.number, os.getpid())
    idle(worker)

def late(worker):
    def stop(*_):
        worker.say_serving()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    say("starts", worker.number, os.getpid())
    idle(worker)

def refusing(worker):
    if worker.number == 1:
        return 3
    patient(worker)

def living(worker):
    worker.say_serving()
    say("serves", worker.number, os.getpid())
    while not select.select([worker.lost], [], [], 0.02)[0]:
        worker.say_alive()
    os._exit(7)

KINDS = {"patient": patient, "deaf": deaf, "late": late, "refusing": refusing, "living": living}
code = Supervisor(
    2,
    KINDS[sys.argv[1]],
    end_seconds=float(sys.argv[2]),
    silent_seconds=float(os.environ.get("SILENT_SECONDS", "30")),
    on_serving=lambda: say("all serve"),
    on_death=lambda number: say("lost", number),
    on_end=lambda: say("ending"),
).run()
say("ended")
sys.exit(code)
"""

Start = Callable[..., "Run"]


class Run:
    """A supervisor in a session of its own, and what it and its workers have said."""

    def __init__(self, folder: Path, kind: str, end_seconds: float, command: list[str]) -> None:
        self._said = folder / "said"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*DEFAULT_SIGNALS, *command, sys.executable, "-c", PROGRAM, kind, str(end_seconds)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def lines(self) -> list[str]:
        return self._said.read_text().splitlines()

    def wait_for(self, line: str) -> None:
        wait_until(lambda: line in self.lines(), what=line)

    def pids(self) -> dict[int, int]:
        """The newest worker of each number."""
        return {int(number): int(pid) for word, number, pid in (x.split() for x in self.lines() if x.count(" ") == 2)}

    def running(self) -> set[int]:
        return {pid for pid in self.pids().values() if Path(f"/proc/{pid}").exists()}

    def ends_with(self, code: int) -> None:
        assert self.process.wait(PATIENCE) == code
        wait_until(lambda: not self.running(), what="the end of the workers")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(kind: str, end_seconds: float = 30, command: list[str] | None = None) -> Run:
        runs.append(Run(tmp_path, kind, end_seconds, command or []))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_of_them(start: Start, number: int) -> None:
    run = start("patient")
    run.wait_for("all serve")
    wait_until(lambda: len(run.pids()) == 2, what="both")
    run.process.send_signal(number)
    run.ends_with(0)
    assert "ending" in run.lines()


def test_a_worker_that_is_stopped_is_replaced_and_the_other_stays(start: Start) -> None:
    run = start("living", command=["env", "SILENT_SECONDS=2"])
    run.wait_for("all serve")
    wait_until(lambda: len(run.pids()) == 2, what="both")
    stopped, other = run.pids()[0], run.pids()[1]
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: run.pids()[0] != stopped, what="another in its place")
    assert run.lines().count("lost 0") == 1
    assert run.pids()[1] == other
    assert not Path(f"/proc/{stopped}").exists()


def test_a_key_stroke_reaches_the_workers_too_and_ends_all_cleanly(start: Start) -> None:
    run = start("patient")
    run.wait_for("all serve")
    os.killpg(run.process.pid, signal.SIGINT)
    run.ends_with(0)


def test_a_hangup_that_was_to_be_ignored_is(start: Start) -> None:
    run = start("patient", command=["nohup"])
    run.wait_for("all serve")
    run.process.send_signal(signal.SIGHUP)
    os.kill(run.pids()[0], signal.SIGKILL)
    run.wait_for("lost 0")
    run.process.terminate()
    run.ends_with(0)


def test_a_worker_that_dies_is_replaced_and_the_others_stay(start: Start) -> None:
    run = start("patient")
    run.wait_for("all serve")
    wait_until(lambda: len(run.pids()) == 2, what="both")
    first = run.pids()
    os.kill(first[1], signal.SIGKILL)
    wait_until(lambda: run.pids()[1] != first[1], what="another worker")
    assert run.lines().index("lost 1") < len(run.lines()) - 1
    assert run.pids()[0] == first[0]
    assert run.lines().count("all serve") == 1


def test_a_worker_that_refuses_at_the_start_ends_all_with_its_code(start: Start) -> None:
    run = start("refusing")
    run.ends_with(3)
    assert "all serve" not in run.lines()


def test_workers_that_serve_when_they_are_to_end_are_not_greeted(start: Start) -> None:
    run = start("late")
    wait_until(lambda: len(run.pids()) == 2, what="both")
    run.process.terminate()
    run.ends_with(0)
    assert run.lines()[-1] == "ended"
    assert "all serve" not in run.lines()


def test_a_worker_that_does_not_end_is_ended(start: Start) -> None:
    run = start("deaf", end_seconds=0.5)
    run.wait_for("all serve")
    run.process.terminate()
    run.ends_with(1)


def test_workers_notice_the_death_of_their_supervisor(start: Start) -> None:
    run = start("deaf")
    run.wait_for("all serve")
    wait_until(lambda: len(run.pids()) == 2, what="both")
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not run.running(), what="the end of the workers")
