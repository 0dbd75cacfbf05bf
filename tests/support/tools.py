# SPDX-License-Identifier: Apache-2.0
"""Programs that make and judge image files: Debian's packages, installed by `make test-deps`."""

import shutil
import subprocess
from pathlib import Path

NAMES = ("exiftool", "ffmpeg", "heif-enc", "heif-convert", "avifenc", "cwebp", "gif2webp", "jpegtran")
MISSING = [name for name in NAMES if not shutil.which(name)]


def run(*command: str | Path, given: bytes | None = None) -> bytes:
    """What a program prints. Raises CalledProcessError with what it complained of."""
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=60).stdout
