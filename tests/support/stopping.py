# SPDX-License-Identifier: Apache-2.0
"""Processes that hang."""

import os
import signal
from pathlib import Path

from tests.support.harness import wait_until


def hang(pid: int) -> None:
    """Stop a process until it gets SIGCONT, and return when each of its threads stands: on a busy machine some run on
    for a moment.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _states(pid) == {"T"}, what="threads that stand", pause=0.001)


def _states(pid: int) -> set[str]:
    # The program's name may have blanks and parentheses: the state stands behind the last of them.
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}
