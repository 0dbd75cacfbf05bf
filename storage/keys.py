# SPDX-License-Identifier: Apache-2.0
"""The key of an image, and the path that follows from it. Nothing here touches the disk."""

import hashlib
import re
import struct

_IS_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch
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


def path_of(key: str) -> str:
    """Where the image with this key lies under the store's root: `ab/cd/abcd…`. Raises ValueError for no key."""
    if not is_message_key(key):
        raise ValueError("not a message key")
    return f"{key[:2]}/{key[2:4]}/{key}"
