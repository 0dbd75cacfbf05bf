# SPDX-License-Identifier: Apache-2.0
"""One image as a small JPEG and a ThumbHash: the only place that decodes pixels. Runs in the child alone."""

import warnings
from io import BytesIO

from PIL import Image, ImageCms, MpoImagePlugin

from previewing.protocol import MAX_PREVIEW_BYTES, PREVIEW_SIDE
from previewing.thumbhash import thumb_hash

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
HASHED_SIDE = 32
"""Finer than the finest term of a ThumbHash, and a tenth of the work of its largest picture."""
QUALITIES = (80, 60, 40, 20)
"""The first with which a preview is small enough; the last always is."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its Exif orientation."""
SRGB = ImageCms.createProfile("sRGB")

# More pixels than the server takes are refused by it; what lies about them is ended by the limits of the process.
Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")
# A JPEG with several pictures is opened by it, and later nothing can be loaded.
assert MpoImagePlugin.MpoImageFile.format == "MPO"


def make(data: bytes) -> tuple[bytes, bytes]:
    """A preview and a placeholder. Raises anything for what cannot be decoded, MemoryError included."""
    image = Image.open(BytesIO(data), formats=FORMATS)
    image.draft(None, (2 * PREVIEW_SIDE, 2 * PREVIEW_SIDE))
    profile, turn = image.info.get("icc_profile"), TURNS.get(image.getexif().get(ORIENTATION, 1))
    small = _plain(image)
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    small = _in_srgb(small, profile)
    if turn is not None:
        small = small.transpose(turn)
    return _as_jpeg(small), _hash(small)


def _plain(image: Image.Image) -> Image.Image:
    """In a mode whose pixels can be mixed."""
    if image.mode.startswith("I;16"):
        return image.point(lambda value: value / 256).convert("L")
    if image.mode in ("RGB", "L", "CMYK"):
        return image
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha else image
    try:
        if profile:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            colours = ImageCms.profileToProfile(colours, source, SRGB, outputMode="RGB") or colours
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        pass  # a profile that is of no use leaves the colours as they are
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours


def _as_jpeg(image: Image.Image) -> bytes:
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    for quality in QUALITIES:
        out = BytesIO()
        image.save(out, "JPEG", quality=quality, exif=b"", icc_profile=None)
        if out.tell() <= MAX_PREVIEW_BYTES:
            break
    return out.getvalue()


def _hash(image: Image.Image) -> bytes:
    tiny = image.convert("RGBA")
    tiny.thumbnail((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX)
    return thumb_hash(tiny.width, tiny.height, tiny.tobytes())
