# SPDX-License-Identifier: Apache-2.0
"""What can be had of the disk without waiting for it: system calls of Linux that Python does not name.

Where the kernel has them not, or a sandbox forbids them, the answer is the same as for what is not in memory: ask in a
thread.
"""

import ctypes
import os
import struct

OPENAT2 = 437
"""Linux 5.6; RESOLVE_CACHED 5.12. The number is the same on all architectures: openat2(2)."""
CACHESTAT = 451
"""Linux 6.5: cachestat(2)."""
RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_CACHED = 0x04, 0x08, 0x20
PAGE = os.sysconf("SC_PAGE_SIZE")

_HOW = struct.Struct("QQQ")  # flags, mode, resolve
_RANGE = struct.Struct("QQ")  # offset, length; 0 is to the end
_syscall = ctypes.CDLL(None).syscall
_counts = (ctypes.c_uint64 * 5)()  # cached, dirty, under writeback, evicted, recently evicted


def open_cached(directory: int, path: str, flags: int) -> int | None:
    """A descriptor of what lies there, below this directory and behind no symbolic link; None where that cannot be
    told without the disk, or is none.
    """
    how = _HOW.pack(flags, 0, RESOLVE_CACHED | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH)
    fd: int = _syscall(OPENAT2, directory, path.encode(), how, len(how))
    return None if fd < 0 else fd


def is_cached(fd: int, offset: int, count: int) -> bool | None:
    """Whether these bytes of a file are in the page cache; None where the kernel cannot tell. Event loop's thread
    only.
    """
    if _syscall(CACHESTAT, fd, _RANGE.pack(offset, count), _counts, 0) != 0:
        return None
    return int(_counts[0]) >= (offset + count - 1) // PAGE - offset // PAGE + 1
