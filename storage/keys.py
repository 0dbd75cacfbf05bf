# SPDX-License-Identifier: Apache-2.0
"""The key of an image, that of its preview, and the paths that follow from them. Nothing here touches the disk."""

import hashlib
import re
import struct

_IS_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch
PREVIEW = ".t"
"""Ends the name of a preview, which lies beside its image."""
_FACTS = struct.Struct(">QQQ16s")


def message_key(sender_uid: int, receiver_uid: int, now_ns: int, random16: bytes) -> str:
    """The key of a new image: 64 lower-case hex digits.

    SHA-256 over sender, receiver (or group) and server time in nanoseconds, each as 8 bytes, big end first, and 16
    random bytes. Raises ValueError for other than 16 bytes, struct.error for a number that 8 bytes cannot hold.
    """
    if len(random16) != 16:
        raise ValueError("a message key takes 16 random bytes")
    return hashlib.sha256(_FACTS.pack(sender_uid, receiver_uid, now_ns, random16)).hexdigest()


def is_message_key(text: str) -> bool:
    """Whether this is 64 lower-case hex digits."""
    return _IS_KEY(text) is not None


def preview_key(key: str) -> str:
    """The key of the preview of an image."""
    return key + PREVIEW


def image_key(key: str) -> str:
    """The key of the image that a file belongs to: itself, or the one that it is the preview of."""
    return key.removesuffix(PREVIEW)


def is_file_key(text: str) -> bool:
    """Whether a file of a store may have this name: a message key, or a preview's."""
    return is_message_key(image_key(text))


def path_of(key: str) -> str:
    """Where the image or preview with this key lies under the store's root: `ab/cd/abcd…`. Raises ValueError for no
    key.
    """
    if not is_file_key(key):
        raise ValueError("not a message key")
    return f"{key[:2]}/{key[2:4]}/{key}"
