# SPDX-License-Identifier: Apache-2.0
"""The header's reader against decoders: what they open is taken with the size that they allocate."""

import base64
import io
import random
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageSequence, UnidentifiedImageError

from models.imagefile import HeaderReader
from tests.models.imagefile import corpus
from tests.models.imagefile.forms import segment
from tests.support import tools

FEWEST = 200
MUTATIONS = 40
LARGEST = 1_000_000
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
Size = tuple[int, int]

CODED_IN_BLOCKS = "a coded picture is whole blocks, of which the file shows a part"
BLOCK = 64
REASONS = {".heic": CODED_IN_BLOCKS}
"""Files whose size is not what the decoder shows: it is larger, and why."""

IN_TWO_WAYS = re.compile(rb"![^\xfe]\0")
"""An empty extension of GIF: what follows is its content to some decoders and not to others, so it is refused."""


class Bomb(Exception):
    """A decoder would allocate more than it dares to."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("corpus")
    made = dict(corpus.made_by_pillow())
    made |= {name: path.read_bytes() for name, path in corpus.made_by_tools(folder)}
    return made


@pytest.fixture(autouse=True)
def _cautious_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LARGEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def said(data: bytes) -> HeaderReader:
    reader = HeaderReader()
    for at in range(0, len(data), 65536):
        reader.feed(data[at : at + 65536])
    return reader


def decoded(data: bytes) -> Size | None:
    """The largest canvas that Pillow has, whichever frames it opens. None when it opens nothing."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            sizes = [image.size]
            for frame in ImageSequence.Iterator(image):
                frame.load()
                sizes.append(frame.size)
    except Image.DecompressionBombError as error:
        raise Bomb from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError, TypeError):
        return None
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def shown_by_heif_convert(data: bytes, folder: Path) -> Size | None:
    source, target = folder / "given.heic", folder / "shown.png"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    tools.run("heif-convert", source, target)
    found = sorted(folder.glob("shown*.png"))
    return Image.open(found[0]).size if found else None


def test_what_encoders_write_is_taken_with_the_size_that_decoders_see(files: dict[str, bytes], tmp_path: Path) -> None:
    assert tools.MISSING or len(files) > FEWEST
    wrong, reasons = {}, set()
    for name, data in files.items():
        header = said(data)
        size = shown_by_heif_convert(data, tmp_path) if name.endswith(".heic") else decoded(data)
        assert size, f"{name}: no decoder opens it"
        ours = (header.width or 0, header.height or 0)
        if sorted(ours) == sorted(size):
            continue
        reason = next((ending for ending in REASONS if name.endswith(ending)), None)
        reasons.add(reason)
        if reason is None or not all(it <= us < it + BLOCK for us, it in zip(sorted(ours), sorted(size), strict=True)):
            wrong[name] = (ours, size)
    assert not wrong
    assert tools.MISSING or reasons == set(REASONS), "a reason that nothing has is none"


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Another file: a few bytes of its first part changed, left out or put in."""
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(min(len(changed), 400))
        kind = dice.randrange(4)
        if kind == 0:
            del changed[at : at + dice.randrange(1, 4)]
        elif kind == 1:
            changed[at:at] = dice.choice((b"\0", b"\xff\0", b"\xff\xff", dice.randbytes(3)))
        elif kind == 2:
            changed[at] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        else:
            changed[at : at + 2] = b"\xff\xff"
    return bytes(changed)


def test_no_changed_file_is_larger_than_it_was_said_to_be(files: dict[str, bytes]) -> None:
    """What a decoder still opens is taken, and for no fewer pixels than it allocates."""
    dice = random.Random(20)
    readable = {name: data for name, data in files.items() if not name.endswith(".heic")}
    wrong, opened, bombs = [], 0, 0
    for name, data in readable.items():
        for number in range(MUTATIONS):
            changed = mutated(data, dice)
            header = said(changed)
            try:
                size = decoded(changed)
            except Bomb:
                bombs += 1
                size = (LARGEST, 2) if header.width else None  # a mere claim of a file that nobody could open
            if size is not None and not IN_TWO_WAYS.search(changed):
                opened += 1
                if (header.width or 0) * (header.height or 0) < size[0] * size[1]:
                    wrong.append((name, number, (header.width, header.height), size))
    assert not wrong, f"{len(wrong)} of {opened}: {wrong[:5]}"
    assert bombs > 20
    assert opened > 500


GIF_WITH_A_LARGE_FRAME = base64.b64decode("R0lGODlhIAAgAIAAAAAAAP///ywAAAAA/////wACAkQBADs=")


def test_a_small_screen_hides_no_large_frame() -> None:
    header = said(GIF_WITH_A_LARGE_FRAME)
    assert (header.width, header.height) == (65535, 65535)


@pytest.mark.parametrize("stray", [b"\0", b"\xff\0", b"\xff\xff\xff", b"stray bytes", bytes(3000)])
def test_stray_bytes_between_segments_are_passed_over(stray: bytes) -> None:
    """As decoders do it, with real files of cameras."""
    whole = corpus.pillow("JPEG")
    changed = whole[:20] + stray + whole[20:]
    assert decoded(changed) == (corpus.WIDTH, corpus.HEIGHT)
    header = said(changed)
    assert (header.filetype, header.width, header.height) == ("jpeg", corpus.WIDTH, corpus.HEIGHT)


def test_the_pictures_behind_the_first_one_count() -> None:
    """Of a Multi-Picture file, whose index leads decoders to them."""
    small, large = corpus.picture(size=(64, 48)), corpus.picture(size=(640, 480))
    whole = io.BytesIO()
    small.save(whole, "MPO", save_all=True, append_images=[large, small])
    assert decoded(whole.getvalue()) == (640, 480)
    header = said(whole.getvalue())
    assert (header.filetype, header.width, header.height) == ("jpeg", 640, 480)


def test_a_picture_within_the_headers_of_the_first_one_is_refused() -> None:
    """Of a Multi-Picture file: its bytes have been passed when the index tells of it."""
    whole = io.BytesIO()
    corpus.picture().save(whole, "MPO", save_all=True, append_images=[corpus.picture(size=(640, 480))])
    data = whole.getvalue()
    index, second = data.index(b"MPF\0") + 4, data.index(b"\xff\xd8", 4)
    end = index - 6 + int.from_bytes(data[index - 6 : index - 4])
    here = (end + 4 - index).to_bytes(4, "little")
    head = data[:end].replace((second - index).to_bytes(4, "little"), here)
    hidden = head + segment(0xE5, data[second:]) + data[end:second]
    assert decoded(hidden) == (640, 480)
    assert said(hidden).width is None


def test_what_libavif_opens_with_its_pixels_first_is_taken() -> None:
    """As some encoders write it: `mdat` before `meta`, with the place of the picture in `iloc` moved."""
    data = corpus.pillow("AVIF")
    start, end = data.index(b"meta") - 4, data.index(b"mdat") - 4
    assert end == start + int.from_bytes(data[start : start + 4])
    first_byte = end + 8
    moved = data[start:end].replace(first_byte.to_bytes(4, "big"), (start + 8).to_bytes(4, "big"))
    changed = data[:start] + data[end:] + moved
    assert decoded(changed) == (corpus.WIDTH, corpus.HEIGHT)
    header = said(changed)
    assert (header.filetype, header.width, header.height) == ("avif", corpus.WIDTH, corpus.HEIGHT)
