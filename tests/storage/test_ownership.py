# SPDX-License-Identifier: Apache-2.0
"""Which processes of a data directory are alive: told by the kernel, however they ended."""

import subprocess
import sys
from pathlib import Path

from storage.ownership import Processes, ProcessLock, forget_process, list_processes
from tests.support import ROOT

HOLD = """
import sys
from pathlib import Path
from storage.ownership import ProcessLock

ProcessLock(Path(sys.argv[1]), "other").take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_process_is_there_until_it_is_killed_and_then_known_as_ended(tmp_path: Path) -> None:
    own = ProcessLock(tmp_path, "own")
    own.take()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "taken\n"
        assert list_processes(tmp_path) == Processes(frozenset({"own", "other"}), frozenset())
        assert (tmp_path / "processes" / "other").read_text() == f"{other.pid}\n"
        other.kill()
    assert list_processes(tmp_path) == Processes(frozenset({"own"}), frozenset({"other"}))
    forget_process(tmp_path, "other")
    own.release()
    own.release()
    assert list_processes(tmp_path) == Processes(frozenset(), frozenset())


def test_a_directory_without_processes_has_none(tmp_path: Path) -> None:
    assert list_processes(tmp_path) == Processes(frozenset(), frozenset())
