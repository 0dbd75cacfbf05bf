# SPDX-License-Identifier: Apache-2.0
"""What nginx leaves out of a PUT: reads the names of new files from its access log, and syncs each file and its
directory. `python -m bench.syncing FIFO FOLDER`; how many are done stands in FIFO.done.
"""

import os
import sys


def main(fifo: str, folder: str) -> None:
    """Until whoever writes the log has gone."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    done = os.open(f"{fifo}.done", os.O_WRONLY | os.O_CREAT, 0o600)
    print("ready", flush=True)
    with open(fifo, encoding="ascii") as names:
        for count, name in enumerate(names, 1):
            file = os.open(name.strip().lstrip("/"), os.O_RDONLY, dir_fd=directory)
            os.fsync(file)
            os.close(file)
            os.fsync(directory)
            os.pwrite(done, b"%8d" % count, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
