# SPDX-License-Identifier: Apache-2.0
"""A program ends as its `main` says, with all that it said, and its interpreter is not torn down."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.program import pause_after
from tests.support import PATIENCE, ROOT

ABORTED = "import atexit, os, sys; atexit.register(os.abort);"
"""What a thread of a library may do to an interpreter that is being torn down, done each time."""


def ended(code: str, *arguments: str) -> tuple[int, str, str]:
    """The exit status, the output and the last line of complaint of a program whose teardown aborts."""
    command = [sys.executable, "-c", f"{ABORTED} {code}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ("print('said', end='')", (0, "said", "")),
        ("print('said', end='') or 3", (3, "said", "")),
        ("sys.exit()", (0, "", "")),
        ("sys.exit(2)", (2, "", "")),
        ("sys.exit('why')", (1, "", "why")),
        ("1 / 0", (1, "", "ZeroDivisionError: division by zero")),
        ("sys.stdout.close() or print('said', file=sys.stderr)", (0, "", "said")),
    ],
)
def test_a_program_ends_as_it_says(main: str, expected: tuple[int, str, str]) -> None:
    assert ended(f"from app import program; program.run(lambda: {main})") == expected


def test_output_that_cannot_be_written_is_no_success() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from app import program; program.run(lambda: print('said'))"]
        assert subprocess.run(command, cwd=ROOT, stdout=full, timeout=PATIENCE, check=False).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--version"], 0), (["config", "check"], 0), (["status"], 1), (["nothing"], 2)]
)
def test_every_command_of_operators_ends_so(arguments: list[str], status: int, tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path)] if arguments == ["status"] else []
    code = "import runpy; sys.argv[0] = 'ops'; runpy.run_module('ops', run_name='__main__', alter_sys=True)"
    returned, said, complaint = ended(code, *arguments, *where)
    assert (returned, bool(said or complaint)) == (status, True)


def test_what_keeps_dying_is_started_again_within_half_a_minute_for_ever() -> None:
    assert [pause_after(deaths) for deaths in (0, 1, 2, 5, 6, 100, 10_000)] == [0, 1, 2, 16, 30, 30, 30]
