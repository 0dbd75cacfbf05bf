# SPDX-License-Identifier: Apache-2.0
"""`make release`: the source archive of the commit that is checked out, its SBOM, and their checksums, in `dist/`.

With a version (`make release VERSION=0.2.0`) that commit is made first. The same commit makes the same bytes: nothing
in them depends on the day, the machine's user or the working tree.
"""

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DIST = Path("dist")
CUT = ("CHANGELOG.md", "pyproject.toml")
"""What a version changes."""
NUMBERS = re.compile(r"\d+\.\d+\.\d+")
RELEASED = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", re.MULTILINE)
UNRELEASED = re.compile(r"^## \[Unreleased\]\n(?!\s*(?:## |\Z))", re.MULTILINE)
"""With something under it."""
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)(?:\s*;\s*([^\\]+))?", re.MULTILINE)


def committed(*arguments: str) -> bytes:
    """What git says. Raises SystemExit."""
    ended = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607
    if ended.returncode:
        sys.exit(ended.stderr.decode().strip())
    return ended.stdout


def text_of(file: str) -> str:
    return committed("show", f"HEAD:{file}").decode()


def archive(name: str) -> bytes:
    """Every committed file below `name/`, with the time of the commit, as .tar.gz."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(committed("-c", "tar.umask=0022", "archive", "--format=tar", f"--prefix={name}/", "HEAD"))
    return packed.getvalue()


def bill_of_materials(project: dict[str, Any]) -> bytes:
    """What the server is made of, by requirements.lock, as CycloneDX 1.6 JSON.

    Source: https://cyclonedx.org/docs/1.6/json/
    """
    version = project["version"]
    server = f"glimpse@{version}"
    found = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package}@{pinned}",
            "name": package,
            "version": pinned,
            "purl": f"pkg:pypi/{package}@{pinned}",
            "scope": "optional" if marker else "required",
        }
        for package, pinned, marker in PINNED.findall(text_of("requirements.lock"))
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": committed("show", "-s", "--format=%cI", "HEAD").decode().strip(),
            "component": {
                "type": "application",
                "bom-ref": server,
                "name": project["name"],
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
            },
        },
        "components": found,
        "dependencies": [{"ref": server, "dependsOn": [each["bom-ref"] for each in found]}],
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def cut(version: str) -> None:
    """Commit this version: what CHANGELOG.md says under [Unreleased] is of it, from today on. Raises SystemExit."""
    if not NUMBERS.fullmatch(version):
        sys.exit(f"{version} is no version: three numbers, as 0.2.0")
    changes = text_of("CHANGELOG.md")
    if any(_numbers(released) >= _numbers(version) for released in RELEASED.findall(changes)):
        sys.exit(f"CHANGELOG.md has {version}, or a later version: it has been released")
    if committed("tag", "--list", f"v{version}"):
        sys.exit(f"there is a tag v{version}: it has been released")
    if not UNRELEASED.search(changes):
        sys.exit("CHANGELOG.md says nothing under [Unreleased]")
    heading = f"## [Unreleased]\n\n## [{version}] - {datetime.now(UTC).date()}"
    project = re.sub(
        r'^version = ".*"$', f'version = "{version}"', text_of("pyproject.toml"), count=1, flags=re.MULTILINE
    )
    try:
        Path("CHANGELOG.md").write_text(changes.replace("## [Unreleased]", heading, 1))
        Path("pyproject.toml").write_text(project)
        committed("commit", "--quiet", "--message", f"Version {version}", "--", *CUT)
    except BaseException:  # nobody's name is known to git, a hook refuses, Ctrl-C: all is as it was
        committed("checkout", "--quiet", "HEAD", "--", *CUT)
        raise


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def main() -> None:
    """Write the three files. Exits with the reason when there is nothing to release."""
    if committed("status", "--porcelain", "--untracked-files=no"):
        sys.exit("there are changes that are not committed: a release is made of a commit")
    if wanted := " ".join(sys.argv[1:]):
        cut(wanted)
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    version = project["version"]
    if version not in RELEASED.findall(text_of("CHANGELOG.md")):
        sys.exit(f"CHANGELOG.md has no heading for {version}: make release VERSION={version} writes it")
    name = f"glimpse-{version}"
    made = {f"{name}.tar.gz": archive(name), f"{name}.cdx.json": bill_of_materials(project)}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {file}\n" for file, content in made.items())
    DIST.mkdir(exist_ok=True)
    for file, content in {**made, "SHA256SUMS": sums.encode()}.items():
        (DIST / file).write_bytes(content)
    print(sums, end="")
    print(f"then: git tag -s v{version}")


if __name__ == "__main__":
    main()
