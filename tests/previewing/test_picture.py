# SPDX-License-Identifier: Apache-2.0
"""What a preview shows: small, upright, in sRGB, whatever the image's format and mode."""

from io import BytesIO

import pytest
from PIL import Image, ImageCms, UnidentifiedImageError

from previewing.picture import make
from previewing.protocol import MAX_PREVIEW_BYTES

RED, BLUE = (220, 20, 20), (20, 20, 220)


def halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image.convert(mode)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def shown(data: bytes) -> Image.Image:
    preview, placeholder = make(data)
    assert len(preview) <= MAX_PREVIEW_BYTES
    assert 5 <= len(placeholder) <= 25
    image = Image.open(BytesIO(preview))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert not image.getexif()
    assert "icc_profile" not in image.info
    return image


def is_like(pixel: object, wanted: tuple[int, ...], by: int = 40) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))


@pytest.mark.parametrize(("size", "wanted"), [((1600, 800), (320, 160)), ((50, 2000), (8, 320)), ((40, 30), (40, 30))])
def test_it_has_at_most_320_pixels_a_side_and_the_same_shape(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert shown(saved(halves(*size), "JPEG")).size == wanted


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP"])
def test_every_format_is_shown_in_its_colours(name: str) -> None:
    image = shown(saved(halves(400, 200), name))
    assert is_like(image.getpixel((20, 80)), RED)
    assert is_like(image.getpixel((300, 80)), BLUE)


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "JPEG"), ("CMYK", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("I;16", "PNG")]
)
def test_every_mode_is_shown(mode: str, name: str) -> None:
    image = Image.new("I;16", (400, 200), 40_000) if mode == "I;16" else halves(400, 200, mode)
    found = shown(saved(image, name))
    assert found.size == (320, 160)
    if mode == "I;16":
        assert is_like(found.getpixel((5, 5)), (156,) * 3, by=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = shown(saved(halves(400, 200), "JPEG", exif=exif))
    turned = orientation > 4
    assert image.size == ((160, 320) if turned else (320, 160))
    near, far = ((80, 20), (80, 300)) if turned else ((20, 80), (300, 80))
    red_is_near = orientation in (1, 4, 5, 6)
    assert is_like(image.getpixel(near if red_is_near else far), RED)
    assert is_like(image.getpixel(far if red_is_near else near), BLUE)


def test_what_can_be_seen_through_is_shown_over_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert is_like(shown(saved(image, "PNG")).getpixel((20, 20)), (255, 255, 255), by=2)


def test_colours_are_those_of_the_profile() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    plain = shown(saved(halves(400, 200), "JPEG"))
    assert is_like(shown(saved(halves(400, 200), "JPEG", icc_profile=srgb.tobytes())).getpixel((20, 80)), RED)
    for odd in (lab.tobytes(), b"no profile", bytes(1000)):
        image = shown(saved(halves(400, 200), "JPEG", icc_profile=odd))
        assert image.getpixel((20, 80)) == plain.getpixel((20, 80))


def test_noise_becomes_small_enough() -> None:
    assert shown(saved(Image.effect_noise((2000, 2000), 200).convert("RGB"), "JPEG")).size == (320, 320)


def test_other_formats_are_not_tried() -> None:
    for name in ("BMP", "TIFF", "PPM", "ICO"):
        with pytest.raises(UnidentifiedImageError):
            make(saved(halves(40, 40), name))
