# SPDX-License-Identifier: Apache-2.0
"""What an image file tells besides the picture, overwritten while its bytes pass; its length and pixels stay.

No decoder runs, and never more than a small part of the file is held.
"""

from models.metadata.remover import MetadataRemover, Removal
from models.metadata.stream import MOST_HELD, Piece, Unreadable

__all__ = ["MOST_HELD", "MetadataRemover", "Piece", "Removal", "Unreadable"]
