# SPDX-License-Identifier: Apache-2.0
"""How a program of this repository runs from its first line to the end of its process, and when another follows."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

YOUNG_SECONDS = 10.0
"""A process that dies younger than this waits before it is replaced: whatever killed it may still be there."""
LONGEST_PAUSE_SECONDS = 30.0
"""Between a death and the next start of one that keeps dying: no load, and soon back once the cause is gone."""


def run(main: Callable[[], object]) -> NoReturn:
    """Run `main`, and end the process with what it gives or raises, as the interpreter would."""
    code: object = 1
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - shown as the interpreter would
        sys.excepthook(*sys.exc_info())
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    end(code if isinstance(code, int) else 0)


def pause_after(young_deaths: int) -> float:
    """Seconds until a process is replaced that has died young so many times in a row: doubled from 1, 0 for none."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** min(young_deaths - 1, 10)) if young_deaths else 0.0


def end(code: int) -> NoReturn:
    """End the process now that all is closed. 1 in place of 0 where the last of what was said could not be written.

    Threads of a library (the object store's) may abort an interpreter that is being torn down: none is.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError):
            continue  # closed by whoever started it, or since
        except OSError:
            code = code or 1
    os._exit(code)
