# SPDX-License-Identifier: Apache-2.0
"""The version of this program, which stands in pyproject.toml; CHANGELOG.md says what each version brought."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
VERSION: str = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"]
