# SPDX-License-Identifier: Apache-2.0
"""Reads numbers that do not begin at a byte."""


class Bits:
    """The bits of some bytes, the highest of each first. What is asked for behind the end raises ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        end = self.at + count
        if end > 8 * len(self._data):
            raise ValueError("no more bits")
        first, last = self.at >> 3, (end + 7) >> 3
        self.at = end
        return int.from_bytes(self._data[first:last]) >> (8 * last - end) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def exp_golomb(self) -> int:
        """An unsigned number in Exp-Golomb code (ITU-T H.265, 9.2)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise ValueError("a number of more than 32 bits")
        return (1 << zeros) - 1 + self.take(zeros)

    def bytes_from_here(self) -> int:
        """The index of the next whole byte."""
        return (self.at + 7) >> 3
