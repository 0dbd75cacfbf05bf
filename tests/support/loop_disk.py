# SPDX-License-Identifier: Apache-2.0
"""A disk that can be cut off or fail: ext4 in a file, over a loop device. Needs root, loop devices and mkfs.ext4."""

import ctypes
import fcntl
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32): fs/ext4/ext4.h."""
NOLOGFLUSH = struct.pack("I", 2)
"""Nothing of what is only in memory goes to the disk any more, the journal included."""
NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS: unshare(2)."""
BYTES = 2 << 30
"""The file is sparse: it takes what was written."""


class LoopDisk:
    """A filesystem of its own in a folder, mounted at `path`. It keeps its device: a mount with one of its own may come
    before the last one's is gone.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        image = folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(BYTES)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self._device = _run("losetup", "--find", "--show", str(image)).strip()

    def attach(self) -> None:
        """Mount it; what its journal has is played again, as after a power cut."""
        _run("mount", "-t", "ext4", self._device, str(self.path))
        [options] = re.findall(rf"^{self._device} \S+ ext4 (\S+)", Path("/proc/mounts").read_text(), re.MULTILINE)
        assert "shutdown" not in options.split(","), "another process still has the disk as it was"

    def detach(self) -> None:
        _run("umount", str(self.path))

    def cut_power(self) -> None:
        """From here on every write and sync fails, and what was not on the disk before is gone at the next `attach`."""
        place = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(place, SHUTDOWN, NOLOGFLUSH)
        finally:
            os.close(place)

    def become_read_only(self) -> None:
        """What ext4 does by itself at an error of the disk, files being open or not."""
        _run("mount", "-o", "remount,errors=remount-ro", str(self.path))
        Path(f"/sys/fs/ext4/{Path(self._device).name}/trigger_fs_error").write_text("1")

    def repair(self) -> bool:
        """What an operator does then, when nobody has a file open there; it is attached again. False while some other
        namespace of mounts still has it.
        """
        if os.path.ismount(self.path):
            self.detach()
        check = ["/usr/sbin/e2fsck", "-fp", self._device]
        if subprocess.run(check, capture_output=True, check=False).returncode not in (0, 1):
            return False
        self.attach()
        return True

    def remove(self) -> None:
        if os.path.ismount(self.path):
            self.detach()
        _run("losetup", "--detach", self._device)


def what_is_missing() -> str:
    """Why there can be no such disk here; nothing where there can."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        return "mkfs.ext4 is not installed"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "mounts are refused"
    return ""


def keep_mounts_to_ourselves() -> None:
    """What this process and its children mount is their own from then on. Whoever made a namespace of mounts meanwhile
    would else keep a disk that was detached, and it would not lose its power. Raises OSError.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _run("mount", "--make-rprivate", "/")


@contextmanager
def loop_disk(folder: Path) -> Iterator[LoopDisk]:
    """A new disk for the length of a block, after `what_is_missing` found nothing. At its end nobody may have a file
    open there.
    """
    disk = LoopDisk(folder)
    try:
        disk.attach()
        yield disk
    finally:
        disk.remove()


def _run(*command: str) -> str:
    """What it prints. Raises AssertionError with what it complained of."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
    return done.stdout
