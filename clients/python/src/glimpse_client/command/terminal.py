# SPDX-License-Identifier: Apache-2.0
"""Pictures in terminals that can show them.

The protocols: kitty's graphics (https://sw.kovidgoyal.net/kitty/graphics-protocol/), iTerm2's inline images
(https://iterm2.com/documentation-images.html), sixel (DEC's, as https://vt100.net/docs/vt3xx-gp/chapter14.html), and
everywhere with true colour half blocks, each of which is two pixels.
"""

import base64
import importlib
import io
import os
import re
import select
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

if os.name == "posix":
    import termios
    import tty

Protocol = Literal["kitty", "iterm", "sixel", "blocks"]

KITTY_CHUNK = 4096
ANSWER_SECONDS = 0.3
"""A terminal that says what it can do says it at once; over a slow line it is taken for one that cannot."""
LARGEST = (640, 480)
"""In pixels: what is shown is a look at the picture, the picture itself is on the disk."""
LARGEST_IN_BLOCKS = (72, 48)
"""The same where a character is as wide as one pixel and as high as two: fits into 80 columns and 24 lines."""
COLOURS = 255


def protocol_of(environment: Mapping[str, str], *, asks: bool) -> Protocol | None:
    """How this terminal shows pictures: by what it says of itself, and where `asks`, by what it answers."""
    name, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    text: Protocol | None = "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") else None
    if "TMUX" in environment or name.startswith(("screen", "tmux")):
        return text  # anything else would have to be wrapped, and is drawn over
    if "KITTY_WINDOW_ID" in environment or name in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty", "vscode"):
        return "iterm"
    return "sixel" if asks and os.name == "posix" and says_sixel(_asked(b"\x1b[c")) else text


def says_sixel(answer: bytes) -> bool:
    """Whether primary device attributes name sixel, which is 4."""
    found = re.search(rb"\x1b\[\?([0-9;]*)c", answer)
    return found is not None and b"4" in found[1].split(b";")


def show(path: Path) -> bool:
    """Show a picture, if this terminal can and the picture can be read; whether it was."""
    if not sys.stdout.isatty():
        return False
    protocol = protocol_of(os.environ, asks=sys.stdin.isatty())
    text = rendered(path.read_bytes(), protocol) if protocol else None
    if text is None:
        return False
    try:
        sys.stdout.write(text + "\n")
    except UnicodeEncodeError:  # a terminal of another character set than UTF-8 has no half blocks
        return False
    sys.stdout.flush()
    return True


def rendered(picture: bytes, protocol: Protocol) -> str | None:
    """What to write. None where that takes Pillow (`pip install 'glimpse-client[pictures]'`) and there is none."""
    if protocol == "iterm":
        return _iterm(picture)
    small = _small(picture, LARGEST_IN_BLOCKS if protocol == "blocks" else LARGEST)
    if protocol in ("sixel", "blocks"):
        return None if small is None else (_sixel if protocol == "sixel" else _blocks)(small)
    if small is not None:
        file = io.BytesIO()
        small.save(file, "PNG")
        picture = file.getvalue()
    return _kitty(picture) if picture.startswith(b"\x89PNG") else None


def _small(picture: bytes, largest: tuple[int, int]) -> Any:
    """The picture in RGB, no larger than what is shown; None without Pillow, or where Pillow cannot read it."""
    try:
        pillow = importlib.import_module("PIL.Image")
    except ImportError:
        return None
    try:
        image = pillow.open(io.BytesIO(picture))
        image.thumbnail(largest)
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
        return None


def _iterm(picture: bytes) -> str:
    return f"\x1b]1337;File=inline=1;size={len(picture)};height=20:{base64.b64encode(picture).decode()}\a"


def _kitty(png: bytes) -> str:
    text = base64.b64encode(png).decode()
    chunks = [text[start : start + KITTY_CHUNK] for start in range(0, len(text), KITTY_CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        first = "a=T,f=100,q=2," if number == 0 else ""
        parts.append(f"\x1b_G{first}m={int(number + 1 < len(chunks))};{chunk}\x1b\\")
    return "".join(parts)


def _sixel(image: Any) -> str:
    """Bands of six rows; of each colour in a band, a character says which of the six it is in."""
    few = image.quantize(COLOURS)
    width, height = few.size
    pixels, palette = few.tobytes(), few.getpalette()
    colours = range(len(palette) // 3)
    lines = [f"#{n};2;" + ";".join(str(round(part / 2.55)) for part in palette[3 * n : 3 * n + 3]) for n in colours]
    for top in range(0, height, 6):
        rows = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        drawn = [_colour_of_band(rows, colour, width) for colour in sorted(set(b"".join(rows)))]
        lines.append("$".join(drawn) + "-")
    return f'\x1bPq"1;1;{width};{height}{"".join(lines)}\x1b\\'


def _colour_of_band(rows: list[bytes], colour: int, width: int) -> str:
    bits = [sum(1 << y for y, row in enumerate(rows) if row[x] == colour) for x in range(width)]
    return f"#{colour}" + "".join(f"!{len(list(run))}{chr(63 + value)}" for value, run in groupby(bits))


def _blocks(image: Any) -> str:
    """Lines of the upper half of a block: what is above in its colour, what is beneath in that behind it."""
    width, height = image.size
    lines = []
    for y in range(0, height, 2):
        line = ""
        for x in range(width):
            upper = ";".join(map(str, image.getpixel((x, y))))
            lower = f"48;2;{';'.join(map(str, image.getpixel((x, y + 1))))}" if y + 1 < height else "49"
            line += f"\x1b[38;2;{upper};{lower}m\u2580"
        lines.append(line + "\x1b[0m")
    return "\n".join(lines)


def _asked(question: bytes) -> bytes:
    """What the terminal answers to a question that ends with `c`; nothing where it does not."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    answer = b""
    try:
        tty.setcbreak(descriptor)
        os.write(sys.stdout.fileno(), question)
        while not answer.endswith(b"c") and select.select([descriptor], [], [], ANSWER_SECONDS)[0]:
            answer += os.read(descriptor, 64)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
    return answer
