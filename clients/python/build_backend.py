# SPDX-License-Identifier: Apache-2.0
"""Builds this package with the standard library alone (PEP 517, PEP 660), so that a clone installs without an index.

The wheel's form: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

import base64
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
SOURCE = HERE / "src"
PACKAGE = "glimpse_client"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file, so that the same source makes the same archive."""


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:  # noqa: ARG001
    return _write_wheel(Path(wheel_directory), dict(_package_files()))


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:  # noqa: ARG001
    return _write_wheel(Path(wheel_directory), {f"{PACKAGE}.pth": f"{SOURCE}\n".encode()})


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:  # noqa: ARG001
    project = _project()
    top = f"{PACKAGE}-{project['version']}"
    kept = {name: (HERE / name).read_bytes() for name in ("pyproject.toml", "README.md", "build_backend.py")}
    kept |= {f"src/{name}": content for name, content in _package_files()}
    kept["PKG-INFO"] = _metadata(project)
    target = Path(sdist_directory) / f"{top}.tar.gz"
    with gzip.GzipFile(target, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in kept.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.name


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def _package_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted((SOURCE / PACKAGE).rglob("*")):
        if path.is_file() and path.suffix in (".py", ".typed"):
            yield path.relative_to(SOURCE).as_posix(), path.read_bytes()


def _metadata(project: Mapping[str, Any]) -> bytes:
    """PKG-INFO, https://packaging.python.org/en/latest/specifications/core-metadata/."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {wanted}" for wanted in project["dependencies"]),
    ]
    for extra, wanted in project["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {each}; extra == "{extra}"' for each in wanted)]
    lines += ["Description-Content-Type: text/markdown", "", (HERE / project["readme"]).read_text("utf-8")]
    return "\n".join(lines).encode()


def _write_wheel(folder: Path, files: dict[str, bytes]) -> str:
    project = _project()
    info = f"{PACKAGE}-{project['version']}.dist-info"
    scripts = "".join(f"{name} = {target}\n" for name, target in project["scripts"].items())
    files[f"{info}/METADATA"] = _metadata(project)
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: build_backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}".encode()
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    name = f"{PACKAGE}-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return name


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
