# SPDX-License-Identifier: Apache-2.0
"""What our parser takes, h11 and Tornado read the same; `make prove-transport` asks a million times."""

from tests.transport.differential import disagreements


def test_what_is_taken_others_read_the_same_or_the_rfc_is_with_us() -> None:
    seen, strange = disagreements(4000, seed=9112)
    assert strange == []
    assert seen["taken"] > 1000
