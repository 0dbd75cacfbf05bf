# SPDX-License-Identifier: Apache-2.0
"""What was removed of a picture on its way in: what is still to be done at its end, and what it stands for."""

import hashlib
from functools import partial

from models.metadata import MOST_HELD, MetadataRemover
from storage.base import Mend


def mends_of(remover: MetadataRemover | None) -> list[Mend]:
    """Metadata that had left before anybody could know, to be cleaned in the file before it is an image."""
    if remover is None:
        return []
    return [Mend(mend.spans, MOST_HELD, partial(remover.mend, mend)) for mend in remover.mends]


def digest_as_sent(sha256: bytes, remover: MetadataRemover | None) -> bytes:
    """What stands for the bytes that a sender sent, given the digest of those that left the remover."""
    if remover is None or not remover.changed:
        return sha256
    return hashlib.sha256(sha256 + remover.overwritten).digest()
