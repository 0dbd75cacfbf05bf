# SPDX-License-Identifier: Apache-2.0
"""The program. This process holds the sockets (`app.generations`) and starts itself again to serve (`app.serving`).

It therefore imports next to nothing: it stays small, and new code is loaded by the next generation.
"""

import importlib
import os
import sys

from app import program
from app.generations import LINK, Generations, given_sockets


def main() -> int:
    """Run a server until SIGTERM or SIGINT. 0 after a clean end, 1 when it could not start, 2 for wrong settings."""
    if LINK in os.environ:
        code: int = importlib.import_module("app.serving").main()
        return code
    given = given_sockets(os.environ)
    return Generations([sys.executable, *sys.orig_argv[1:]], os.environ, given).run()


if __name__ == "__main__":
    program.run(main)
