# SPDX-License-Identifier: Apache-2.0
"""Draws the PNG icons from the same shapes as mark.svg: python web/icons/make.py (needs Pillow)."""

from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SCALE = 4
GROUND, LID, IRIS = "#c2410c", "#fff7ed", "#1f1b24"


def curve(points: list[tuple[float, float]], steps: int = 40) -> list[tuple[float, float]]:
    """Points of a cubic Bézier curve."""
    found = []
    for step in range(steps + 1):
        t = step / steps
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        x, y = (sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
        found.append((x, y))
    return found


EYE = [
    *curve([(7, 25), (11.5, 16.3), (17.2, 12), (24, 12)]),
    *curve([(24, 12), (30.8, 12), (36.5, 16.3), (41, 25)]),
    *curve([(41, 25), (36.5, 33.7), (30.8, 38), (24, 38)]),
    *curve([(24, 38), (17.2, 38), (11.5, 33.7), (7, 25)]),
]


def draw(side: int, *, full: bool) -> Image.Image:
    """The mark; `full` fills the square, for systems that cut icons to a shape of their own."""
    size = side * SCALE
    image = Image.new("RGBA", (size, size), GROUND if full else "#0000")
    drawing = ImageDraw.Draw(image)
    unit = size / 48 * (0.72 if full else 1)
    edge = size * 0.14 if full else 0

    def disc(x: float, y: float, radius: float, colour: str) -> None:
        drawing.ellipse(
            [
                edge + (x - radius) * unit,
                edge + (y - radius) * unit,
                edge + (x + radius) * unit,
                edge + (y + radius) * unit,
            ],
            fill=colour,
        )

    if not full:
        disc(24, 24, 24, GROUND)
    drawing.polygon([(edge + x * unit, edge + y * unit) for x, y in EYE], fill=LID)
    disc(24, 25, 8, IRIS)
    disc(27, 22, 2.5, LID)
    return image.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for name, side, full in (
        ("icon-192", 192, False),
        ("icon-512", 512, False),
        ("icon-180", 180, True),
        ("maskable-512", 512, True),
    ):
        draw(side, full=full).quantize(64).save(HERE / f"{name}.png", optimize=True)
