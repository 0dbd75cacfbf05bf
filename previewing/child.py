# SPDX-License-Identifier: Apache-2.0
"""The process that decodes: it has two pipes, bounded memory and processor time, and can open nothing.

`python -m previewing.child`, started by `previewing.maker`. It ends with its input.
"""

import os
import resource
import sys
from io import BytesIO
from time import process_time
from typing import BinaryIO

from PIL import Image, ImageCms

from previewing import picture
from previewing.protocol import ANSWER, READY, REQUEST

MEMORY_BYTES = 640 * 1024 * 1024
"""Of address space, with Python and Pillow: the pixels of a PNG of 100 megapixels with three bytes each, and a bit."""
PROCESSOR_SECONDS = 6
"""For one image; who waits for it gives up sooner."""
NICENESS = 10
"""Sending and fetching come first."""


def main() -> None:
    """Serve until the input ends. Anything that goes wrong beyond an image ends the process."""
    _warm_up()
    _confine()
    reading, writing = sys.stdin.buffer, sys.stdout.buffer
    writing.write(READY)
    writing.flush()
    while (image := _next_image(reading)) is not None:
        _allow_processor_time()
        preview, placeholder = _made(image)
        writing.write(ANSWER.pack(len(preview), len(placeholder)) + preview + placeholder)
        writing.flush()


def _next_image(reading: BinaryIO) -> bytes | None:
    head = reading.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return None
    [size] = REQUEST.unpack(head)
    image = reading.read(size)
    return image if len(image) == size else None


def _made(image: bytes) -> tuple[bytes, bytes]:
    try:
        return picture.make(image)
    except Exception:  # noqa: BLE001 - whatever a decoder raises, there is no preview
        return b"", b""


def _warm_up() -> None:
    """Have everything loaded that any image needs: later no file can be opened."""
    for name in ("JPEG", "PNG", "GIF", "WEBP"):
        out = BytesIO()
        # A profile and transparency, so that these ways are gone too.
        image = Image.new("RGB" if name == "JPEG" else "RGBA", (8, 8))
        image.save(out, name, icc_profile=ImageCms.ImageCmsProfile(picture.SRGB).tobytes())
        picture.make(out.getvalue())


def _confine() -> None:
    """No file, no socket, no process, no core; memory to a bound. What is open stays so.

    Source: setrlimit(2)
    """
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))


def _allow_processor_time() -> None:
    """Processor time counts over the life of a process: the kernel ends it that much after now."""
    seconds = int(process_time()) + 1 + PROCESSOR_SECONDS
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, most))


if __name__ == "__main__":
    main()
