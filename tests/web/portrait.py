# SPDX-License-Identifier: Apache-2.0
"""Draws docs/app.png, which the README shows: two phones, between which a picture is sent and seen.

.venv/bin/python -m tests.web.portrait
"""

import io
import math
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from tests.support import ROOT
from tests.support.browser import chromium
from tests.support.harness import running
from tests.web.browsing import Visitor, visitor

PHONE = {"width": 360, "height": 640}
SCALE = 1.5
GAP = 24


def landscape(path: Path) -> Path:
    """Hills in the evening: a picture that is nobody's."""
    width, height = 900, 900
    image = Image.new("RGB", (width, height))
    for x in range(width):
        near = 620 + 60 * math.sin(x / 130) + 20 * math.sin(x / 37)
        far = 500 + 80 * math.sin(x / 210 + 2)
        for y in range(height):
            sky = (250 - y // 6, 190 - y // 5, 120 + y // 9)
            sun = (x - 620) ** 2 + (y - 330) ** 2 < 70**2
            colour = (38, 58, 66) if y > near else (86, 92, 122) if y > far else (255, 226, 150) if sun else sky
            image.putpixel((x, y), colour)
    image.save(path, "JPEG", quality=88)
    return path


def shot(person: Visitor) -> Image.Image:
    person.page.wait_for_load_state("networkidle")
    return Image.open(io.BytesIO(person.page.screenshot(animations="disabled")))


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    width = sum(picture.width + GAP for picture in pictures) + GAP
    sheet = Image.new("RGB", (width, pictures[0].height + 2 * GAP), (225, 228, 232))
    x = GAP
    for picture in pictures:
        sheet.paste(picture, (x, GAP))
        x += picture.width + GAP
    return sheet.quantize(256)


def main() -> None:
    how = {"viewport": PHONE, "device_scale_factor": SCALE}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as server,
        chromium() as browser,
        visitor(browser, f"http://127.0.0.1:{server.port}", "Ann", **how) as ann,
        visitor(browser, f"http://127.0.0.1:{server.port}", "Ben", **how) as ben,
    ):
        ann.register()
        ben.register()
        ann.find(ben.number)
        ann.write("Look where I am")
        ann.choose(landscape(Path(folder) / "hills.jpg"))
        chosen = shot(ann)
        ann.click("Send")
        ann.see("Not seen yet")
        ben.open_chat("Ann")
        ben.click(ben.page.get_by_role("button", name="Tap to see it once"))
        expect(ben.page.get_by_role("img", name="Picture from Ann")).to_be_visible()
        ben.see("It is gone from the server")
        opened = shot(ben)
        ann.see("Seen, and gone")
        side_by_side([chosen, opened, shot(ann)]).save(ROOT / "docs" / "app.png", optimize=True)


if __name__ == "__main__":
    main()
