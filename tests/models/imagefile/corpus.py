# SPDX-License-Identifier: Apache-2.0
"""A few hundred image files as cameras, editors and encoders write them, made where the tests run.

Each is small; together they have every form of a format that encoders here can be made to write.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, PngImagePlugin

from tests.support import tools

WIDTH, HEIGHT = 90, 66
ORIENTATION = 0x0112
ORIENTATIONS = range(1, 9)
Command = Sequence[str | Path]
ENDINGS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "AVIF": "avif"}


def picture(mode: str = "RGB", shift: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A picture in which no two quarters look the same."""
    made = Image.new("RGBA", size, (30, 90, 200, 255))
    draw = ImageDraw.Draw(made)
    draw.ellipse((5 + shift, 5, 40 + shift, 40), fill=(250, 220, 40, 200))
    draw.rectangle((size[0] // 2, size[1] // 2, size[0], size[1]), fill=(20, 160, 60, 90))
    return made if mode == "RGBA" else made.convert("RGB").convert(mode)


def pillow(form: str, mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    """A file as Pillow writes it."""
    out = io.BytesIO()
    picture(mode, size=size).save(out, form, **options)
    return out.getvalue()


def moving(form: str, mode: str = "RGB", **options: Any) -> bytes:
    """An animation of three frames."""
    out = io.BytesIO()
    frames = [picture(mode, shift) for shift in (0, 9, 18)]
    frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=80, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    made[0x010F] = "Maker"
    return made


def made_by_pillow() -> Iterator[tuple[str, bytes]]:
    """The name of each file, whose ending says the format, and its bytes."""
    for mode, progressive, quality in product(("L", "RGB", "CMYK"), (False, True), (5, 95)):
        for sampling in (0, 1, 2):
            made = pillow("JPEG", mode, progressive=progressive, quality=quality, subsampling=sampling)
            yield f"pillow-{mode}-{progressive}-{quality}-{sampling}.jpg", made
    for turned in ORIENTATIONS:
        yield f"turned-{turned}.jpg", pillow("JPEG", exif=exif(turned), comment=b"hello")
        yield f"turned-{turned}.png", pillow("PNG", exif=exif(turned))
        yield f"turned-{turned}.webp", pillow("WEBP", exif=exif(turned))
        yield f"turned-{turned}.avif", pillow("AVIF", exif=exif(turned), speed=10)
    for size, form in product(((1, 1), (3, 2), (17, 16), (257, 129), (1200, 1), (1, 1000)), ENDINGS):
        yield f"sized-{size[0]}-{size[1]}.{ENDINGS[form]}", pillow(form, size=size)
    yield from _with_few_colours()
    for mode, lossless, method in product(("RGB", "RGBA"), (False, True), (0, 4)):
        yield f"pillow-{mode}-{lossless}-{method}.webp", pillow("WEBP", mode, lossless=lossless, method=method)
        yield f"moving-{mode}-{lossless}-{method}.webp", moving("WEBP", mode, lossless=lossless, method=method)
    for mode, chroma, quality in product(("L", "RGB", "RGBA"), ("4:2:0", "4:2:2", "4:4:4"), (10, 90)):
        name = f"pillow-{mode}-{chroma.replace(':', '')}-{quality}.avif"
        yield name, pillow("AVIF", mode, subsampling=chroma, quality=quality, speed=10)
    yield "moving.avif", moving("AVIF", speed=10)


def _with_few_colours() -> Iterator[tuple[str, bytes]]:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "before the pixels", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    for mode, level in product(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), (0, 9)):
        yield f"pillow-{mode.replace(';', '')}-{level}.png", pillow("PNG", mode, compress_level=level, pnginfo=text)
    for mode in ("L", "RGB", "RGBA"):
        yield f"moving-{mode}.png", moving("PNG", mode)
    for mode, interlace in product(("1", "L", "P", "RGB"), (0, 1)):
        yield f"pillow-{mode}-{interlace}.gif", pillow("GIF", mode, interlace=interlace, comment=b"a comment")
    for mode in ("L", "P", "RGB", "RGBA"):
        yield f"moving-{mode}.gif", moving("GIF", mode, loop=0, disposal=2)


def made_by_tools(folder: Path) -> Iterator[tuple[str, Path]]:
    """The same by programs. The names of what cannot be made here are not in it."""
    source, alpha, jpeg = folder / "source.png", folder / "alpha.png", folder / "source.jpg"
    picture().save(source)
    picture("RGBA").save(alpha)
    picture().save(jpeg, exif=exif(6), quality=90)
    (folder / "moving.gif").write_bytes(moving("GIF", "P"))
    picture(size=(64, 64)).save(folder / "tile.png")
    for turned in ORIENTATIONS:
        picture().save(folder / f"turned-{turned}.jpg", exif=exif(turned))
    for name, command in _commands(folder, source, alpha, jpeg):
        target = folder / name
        if command[0] not in tools.MISSING:
            made = tools.run(*(str(target) if word == "OUT" else str(word) for word in command))
            if "OUT" not in command:
                target.write_bytes(made)
            yield name, target


def _commands(folder: Path, source: Path, alpha: Path, jpeg: Path) -> Iterator[tuple[str, Command]]:
    """A file's name and the command that makes it: into OUT, or to where it prints."""
    quiet = ["ffmpeg", "-v", "error", "-y", "-i"]
    for pixels in ("yuvj420p", "yuvj422p", "yuvj444p"):
        yield f"ffmpeg-{pixels}.jpg", [*quiet, source, "-pix_fmt", pixels, "-strict", "-1", "OUT"]
    for pixels in ("gray", "gray16be", "pal8", "rgb24", "rgb48be", "rgba", "rgba64be", "ya8", "monob"):
        yield f"ffmpeg-{pixels}.png", [*quiet, alpha, "-pix_fmt", pixels, "OUT"]
    yield "ffmpeg.gif", [*quiet, source, "-loop", "0", "OUT"]
    yield "ffmpeg-moving.png", [*quiet, folder / "moving.gif", "-f", "apng", "OUT"]
    yield "ffmpeg-moving.webp", [*quiet, folder / "moving.gif", "-c:v", "libwebp_anim", "OUT"]
    yield "ffmpeg-moving.gif", [*quiet, folder / "moving.gif", "OUT"]
    yield from _webp_commands(folder, source, alpha, jpeg)
    yield from _heif_commands(folder, source, alpha, jpeg)
    of_jpegtran: dict[str, Command] = {
        "progressive": ["-progressive"],
        "arithmetic": ["-arithmetic"],
        "restart": ["-restart", "1B"],
        "gray": ["-grayscale"],
        "all": ["-progressive", "-restart", "1", "-copy", "all"],
    }
    for name, options in of_jpegtran.items():
        yield f"jpegtran-{name}.jpg", ["jpegtran", *options, jpeg]


def _webp_commands(folder: Path, source: Path, alpha: Path, jpeg: Path) -> Iterator[tuple[str, Command]]:
    for quality, given in product(("1", "90"), (source, alpha)):
        yield f"cwebp-{quality}-{given.stem}.webp", ["cwebp", "-quiet", "-q", quality, given, "-o", "OUT"]
    yield "cwebp-lossless.webp", ["cwebp", "-quiet", "-lossless", alpha, "-o", "OUT"]
    yield "cwebp-all.webp", ["cwebp", "-quiet", "-metadata", "all", jpeg, "-o", "OUT"]
    for name, more in {"": [], "-mixed": ["-mixed"], "-lossy": ["-lossy"]}.items():
        yield f"gif2webp{name}.webp", ["gif2webp", "-quiet", *more, folder / "moving.gif", "-o", "OUT"]


def _heif_commands(folder: Path, source: Path, alpha: Path, jpeg: Path) -> Iterator[tuple[str, Command]]:
    of_heif_enc: dict[str, Command] = {
        "plain": [source],
        "alpha": [alpha],
        "exif": [jpeg],
        "thumbnail": ["-t", "32", jpeg],
        "lossless": ["-L", "-p", "chroma=444", "--matrix_coefficients=0", source],
        "two": [source, jpeg],
    }
    for name, options in of_heif_enc.items():
        yield f"heif-enc-{name}.heic", ["heif-enc", "-o", "OUT", *options]
        if name != "lossless":
            yield f"heif-enc-{name}.avif", ["heif-enc", "-A", "-o", "OUT", *options]
    for turned in ORIENTATIONS:
        yield f"heif-enc-turned-{turned}.heic", ["heif-enc", "-o", "OUT", folder / f"turned-{turned}.jpg"]
    for angle, mirror in product("0123", "01"):
        yield (
            f"avifenc-{angle}-{mirror}.avif",
            ["avifenc", "-s", "10", "--irot", angle, "--imir", mirror, source, "OUT"],
        )
    of_avifenc: dict[str, Command] = {
        "grid": ["--grid", "2x2", *[folder / "tile.png"] * 4],
        "crop": ["--crop", "2,2,40,30", source],
        "400": ["-y", "400", source],
        "deep": ["-d", "12", "-y", "444", alpha],
        "moving": ["--fps", "5", source, source, source],
    }
    for name, options in of_avifenc.items():
        yield f"avifenc-{name}.avif", ["avifenc", "-s", "10", *options, "OUT"]
