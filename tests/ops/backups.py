# SPDX-License-Identifier: Apache-2.0
"""Backups that are wrong in a way that their manifest does not tell."""

import json
from pathlib import Path

from services.maintenance import manifest
from services.maintenance.manifest import facts


def vouch(folder: Path) -> None:
    """Make the manifest agree with what the files are now."""
    document = json.loads((folder / "manifest.json").read_text())
    for name, said in document["files"].items():
        found = facts(folder / name)
        said.update(bytes=found.bytes, sha256=found.sha256)
    (folder / "manifest.json").write_text(json.dumps(document))
    assert manifest.read(folder)


def take_another_ring(folder: Path) -> None:
    ring = json.loads((folder / "keys.json").read_text())
    ring["data_keys"]["1"] = ring["code_key"]
    (folder / "keys.json").write_text(json.dumps(ring))
    vouch(folder)
