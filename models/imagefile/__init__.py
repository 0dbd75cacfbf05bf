# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of an image file say: its type and its size in pixels. Nothing is decoded."""

from models.imagefile.header import MAX_STEPS, HeaderReader
from models.imagefile.types import CONTENT_TYPES, EXTENSIONS

__all__ = ["CONTENT_TYPES", "EXTENSIONS", "MAX_STEPS", "HeaderReader"]
