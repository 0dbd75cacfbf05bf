# SPDX-License-Identifier: Apache-2.0
"""Pictures that are worth a look, painted here: hills behind one another, under a sun."""

import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = (1200, 900)
DUSK = [(255, 196, 138), (236, 128, 92), (164, 78, 98), (96, 58, 100), (52, 40, 76)]
MORNING = [(214, 234, 240), (150, 196, 206), (96, 154, 158), (58, 112, 112), (34, 74, 78)]


def hills(file: Path, colours: list[tuple[int, int, int]] = DUSK, seed: int = 7) -> Path:
    """The same hills for the same seed."""
    chance = random.Random(seed)
    width, height = SIZE
    image = Image.new("RGB", SIZE)
    drawing = ImageDraw.Draw(image)
    for y in range(height):
        part = y / height
        sky = tuple(round(a + (b - a) * part) for a, b in zip(colours[0], colours[1], strict=True))
        drawing.line([(0, y), (width, y)], fill=sky)
    sun_x, sun_y, radius = width * chance.uniform(0.25, 0.75), height * 0.34, 78
    drawing.ellipse([sun_x - radius, sun_y - radius, sun_x + radius, sun_y + radius], fill=(255, 240, 214))
    for at, colour in enumerate(colours[1:]):
        base, phase = height * (0.48 + at * 0.13), chance.uniform(0, 6)
        ridge = [
            (x, base + 60 * math.sin(x / 210 + phase) + 26 * math.sin(x / 83 + 2 * phase) + 8 * math.sin(x / 29 + at))
            for x in range(0, width + 8, 8)
        ]
        drawing.polygon([*ridge, (width, height), (0, height)], fill=colour)
    image.filter(ImageFilter.GaussianBlur(0.8)).save(file, quality=88)
    return file
