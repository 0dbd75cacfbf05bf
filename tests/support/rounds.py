# SPDX-License-Identifier: Apache-2.0
"""How long a test's form is: short in every run, long in `make prove-rounds`, as where chance has a part in it."""

import os

LONG = "LONG_ROUNDS" in os.environ


def rounds(usual: int, long: int) -> int:
    return long if LONG else usual
