# SPDX-License-Identifier: Apache-2.0
"""Photos as phones and cameras write them, each with the place it was taken at: made with exiftool and encoders."""

import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from PIL import Image

from tests.models.imagefile import corpus
from tests.models.imagefile.forms import segment
from tests.models.metadata import parts
from tests.support import tools

CAMERAS = [
    ("Apple", "iPhone 6s"),
    ("Apple", "iPhone 12 mini"),
    ("Apple", "iPhone 15 Pro"),
    ("Google", "Pixel 4a"),
    ("Google", "Pixel 8 Pro"),
    ("samsung", "SM-G960F"),
    ("samsung", "Galaxy S23 Ultra"),
    ("Xiaomi", "Mi 11"),
    ("HUAWEI", "VOG-L29"),
    ("OnePlus", "KB2003"),
    ("OPPO", "CPH2173"),
    ("vivo", "V2145A"),
    ("motorola", "moto g(30)"),
    ("HMD Global", "Nokia 8.3 5G"),
    ("DJI", "FC3170"),
    ("DJI", "L1D-20c"),
    ("SONY", "ILCE-7M4"),
    ("SONY", "XQ-BC52"),
    ("Canon", "Canon EOS R6"),
    ("Canon", "Canon PowerShot G7 X Mark II"),
    ("NIKON CORPORATION", "NIKON Z 6"),
    ("FUJIFILM", "X-T4"),
    ("Panasonic", "DC-G9"),
    ("OLYMPUS CORPORATION", "E-M1MarkII"),
]
FORMATS = (
    *("plain.jpg", "thumbnail.jpg", "plain.png", "plain.webp", "plain.heic", "plain.avif"),
    *("note.jpg", "motion.jpg"),
)

NOTES = {
    "Apple": parts.APPLE_NOTE,
    "samsung": parts.SAMSUNG_NOTE,
    "NIKON CORPORATION": parts.NIKON_NOTE,
    "Canon": parts.CANON_NOTE,
    "DJI": parts.CANON_NOTE,
    "SONY": parts.SONY_NOTE,
    "OLYMPUS CORPORATION": parts.OLYMPUS_NOTE,
}

PLACES = [
    "-GPSLatitude=52.52001",
    "-GPSLatitudeRef=N",
    "-GPSLongitude=13.40495",
    "-GPSLongitudeRef=E",
    "-GPSAltitude=34.5",
    "-GPSTimeStamp=10:11:12",
    "-GPSDateStamp=2026:06:01",
    "-GPSImgDirection=120",
    "-GPSHPositioningError=5",
    "-XMP-exif:GPSLatitude=52.52001",
    "-XMP-exif:GPSLongitude=13.40495",
    "-XMP-photoshop:City=Berlin",
    "-XMP-photoshop:State=Brandenburg",
    "-XMP-photoshop:Country=Germany",
    "-XMP-iptcCore:CountryCode=DE",
    "-XMP-iptcCore:Location=Alexanderplatz",
    "-XMP-iptcExt:LocationShownCity=Berlin",
    "-XMP-iptcExt:LocationCreatedCountryName=Germany",
]
DATASETS = [
    "-IPTC:City=Berlin",
    "-IPTC:Sub-location=Mitte",
    "-IPTC:Province-State=BE",
    "-IPTC:Country-PrimaryLocationName=DE",
]
REST = [
    "-Orientation#=6",
    "-DateTimeOriginal=2026:06:01 12:11:12",
    "-OffsetTimeOriginal=+02:00",
    "-ExposureTime=1/120",
    "-FNumber=1.8",
    "-ISO=64",
    "-FocalLength=5.7",
    "-LensModel=back camera 5.7mm f/1.8",
    "-Software=17.5.1",
    "-UserComment=a comment that stays",
    "-ImageUniqueID=0123456789abcdef0123456789abcdef",
    "-XMP-dc:Creator=Ann",
    "-XMP-dc:Subject=harbour",
    "-XMP-xmp:Rating=4",
    "-XMP-xmpMM:DocumentID=xmp.did:1234",
]


def made(folder: Path) -> Iterator[Path]:
    """The photos, in this folder."""
    arguments: list[str] = []
    for (make, model), form in product(CAMERAS, FORMATS):
        path = folder / f"{make} {model} {form}".replace(" ", "_").replace("(", "").replace(")", "")
        if form.startswith("note") and make not in NOTES:
            continue
        _write_picture(path, make, form)
        datasets = DATASETS if path.suffix == ".jpg" else []
        drone = ["-XMP-drone-dji:GPSLatitude=52.5", "-XMP-drone-dji:AbsoluteAltitude=99"] if make == "DJI" else []
        camera = [] if form.startswith("note") else [f"-Make={make}", f"-Model={model}"]
        arguments += [*camera, *PLACES, *datasets, *drone, *REST, "-overwrite_original", str(path), "-execute"]
    (folder / "arguments").write_text("\n".join(arguments))
    subprocess.run(["exiftool", "-q", "-m", "-@", folder / "arguments"], check=True, timeout=300)
    (folder / "arguments").unlink()
    for path in sorted(folder.iterdir()):
        if path.stem.endswith("motion"):
            video = parts.moved(b"moving pixels" * 50)
            behind = parts.samsung(video) if path.name.startswith("samsung") else video
            path.write_bytes(path.read_bytes() + behind)
        yield path


def _write_picture(path: Path, make: str, form: str) -> None:
    picture = corpus.picture()
    if form.endswith("heic"):
        source = path.with_name("source.png")
        picture.save(source)
        tools.run("heif-enc", "-o", path, source)
        source.unlink()
    elif form.endswith("avif"):
        picture.save(path, speed=10, exif=corpus.exif(6))
    elif form.startswith("thumbnail"):
        exif = parts.tiff([(0x0112, 3, b"\6\0")], thumbnail=corpus.pillow("JPEG", size=(16, 12)))
        picture.save(path, exif=b"Exif\0\0" + exif)
    elif form.startswith("note"):
        exif = parts.exif(note=NOTES[make], make=make.encode())
        data = corpus.pillow("JPEG")
        path.write_bytes(data[:2] + segment(0xE1, b"Exif\0\0" + exif) + data[2:])
    else:
        picture.save(path)


def pixels(path: Path) -> bytes:
    """What a decoder makes of the file."""
    if path.suffix == ".heic":
        shown = path.with_suffix(".shown.png")
        tools.run("heif-convert", path, shown)
        path, made_now = shown, True
    else:
        made_now = False
    with Image.open(path) as image:
        found = image.convert("RGBA").tobytes()
    if made_now:
        path.unlink()
    return found
