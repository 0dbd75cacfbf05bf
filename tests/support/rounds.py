# SPDX-License-Identifier: Apache-2.0
"""How often a test repeats what is left to chance: a few times in every run, many times in `make prove-rounds`."""

import os

LONG = "LONG_ROUNDS" in os.environ


def rounds(usual: int, long: int) -> int:
    return long if LONG else usual
