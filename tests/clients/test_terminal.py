# SPDX-License-Identifier: Apache-2.0
"""How the command shows a picture: which terminal can, and what is written to it."""

import base64
import io
import re
from collections.abc import Mapping

import pytest
from glimpse_client.command.terminal import protocol_of, rendered, says_sixel
from PIL import Image

from tests.support.pictures import png


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "xterm-kitty", "COLORTERM": "truecolor"}, "kitty"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux", "COLORTERM": "24bit"}, "blocks"),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({}, None),
    ],
)
def test_a_terminal_is_known_by_what_it_says_of_itself(environment: Mapping[str, str], protocol: str | None) -> None:
    assert protocol_of(environment, asks=False) == protocol


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"\x1b[?62;4;22c", True), (b"\x1b[?62;22c", False), (b"\x1b[?64c", False), (b"", False), (b"4", False)],
)
def test_a_terminal_is_asked_for_sixel(answer: bytes, says: bool) -> None:
    assert says_sixel(answer) is says


def test_kitty_is_written_the_picture_in_chunks() -> None:
    picture = io.BytesIO()
    Image.effect_noise((200, 150), 90).save(picture, "JPEG")
    text = rendered(picture.getvalue(), "kitty")
    assert text
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert all(len(data) <= 4096 for _, data in chunks)
    assert [settings.rpartition("m=")[2] for settings, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    shown = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks))))
    assert (shown.format, shown.size) == ("PNG", (200, 150))


def test_iterm_is_written_the_file_as_it_is() -> None:
    picture = png()
    text = rendered(picture, "iterm")
    assert text
    assert base64.b64decode(text.partition(":")[2].rstrip("\a")) == picture


def test_sixel_is_written_rows_of_colours() -> None:
    picture = io.BytesIO()
    image = Image.new("RGB", (4, 8), (255, 0, 0))
    image.putpixel((0, 7), (0, 0, 255))
    image.save(picture, "PNG")
    text = rendered(picture.getvalue(), "sixel")
    assert text
    assert drawn(text) == {(x, y): image.getpixel((x, y)) for x in range(4) for y in range(8)}


def drawn(text: str) -> dict[tuple[int, int], tuple[int, ...]]:
    """The pixels that a sixel terminal would set."""
    body = text.removeprefix('\x1bPq"1;1;4;8').removesuffix("\x1b\\")
    colours = {
        int(number): tuple(round(int(part) * 2.55) for part in parts.split(";"))
        for number, parts in re.findall(r"#(\d+);2;(\d+;\d+;\d+)", body)
    }
    pixels: dict[tuple[int, int], tuple[int, ...]] = {}
    for band, line in enumerate(re.sub(r"#\d+;2;\d+;\d+;\d+", "", body).split("-")):
        for colour, runs in re.findall(r"#(\d+)((?:!\d+.)+)", line):
            x = 0
            for count, character in re.findall(r"!(\d+)(.)", runs):
                rows = [row for row in range(6) if (ord(character) - 63) >> row & 1]
                pixels |= {(x + n, band * 6 + row): colours[int(colour)] for n in range(int(count)) for row in rows}
                x += int(count)
    return pixels


def test_half_blocks_are_two_pixels_each() -> None:
    picture = io.BytesIO()
    image = Image.new("RGB", (3, 5), (250, 128, 0))
    image.putpixel((2, 4), (0, 0, 255))
    image.save(picture, "PNG")
    text = rendered(picture.getvalue(), "blocks")
    assert text
    lines = text.split("\n")
    assert all(line.endswith("\x1b[0m") for line in lines)
    colour = r"(\d+;\d+;\d+)"
    found = [re.findall(rf"\x1b\[38;2;{colour};(?:48;2;{colour}|49)m\u2580", line) for line in lines]
    pixels = {
        (x, 2 * row + half): each
        for row, line in enumerate(found)
        for x, two in enumerate(line)
        for half, each in enumerate(two)
    }
    expected = {(x, y): ";".join(map(str, image.getpixel((x, y)))) for x in range(3) for y in range(5)}  # type: ignore[arg-type]
    assert pixels == expected | {(x, 5): "" for x in range(3)}


@pytest.mark.parametrize("protocol", ["kitty", "sixel", "blocks"])
def test_what_is_no_picture_is_not_shown(protocol: str) -> None:
    assert rendered(b"\xff\xd8 words", protocol) is None  # type: ignore[arg-type]
