# SPDX-License-Identifier: Apache-2.0
"""What tests of several rooms share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""

PATIENCE = 60.0
"""How many seconds a test waits for what must come before it fails: no measure of anything, so that no load of the
machine matters."""
