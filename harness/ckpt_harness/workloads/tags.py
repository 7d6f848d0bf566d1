"""The encoding that makes every element of a checkpoint say whose it is: (save, rank, key, index).

A mixture of two saves, or a shard that landed in another's place, is then recognisable element by element.
Tags fit a float64 exactly, so that load targets can start as NaN.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_INDEX_BITS, _KEY_BITS, _RANK_BITS, _SAVE_BITS = 22, 9, 12, 9
LIMITS = {"save": 1 << _SAVE_BITS, "rank": 1 << _RANK_BITS, "key": 1 << _KEY_BITS, "index": 1 << _INDEX_BITS}
"""How large each part may grow (exclusive)."""


@dataclass(frozen=True)
class Tag:
    """What an element says of itself.

    Attributes:
        save: number of the save that wrote it, from 1.
        rank: the rank that owned it; 0 for replicated values.
        key: number of the entry within the workload.
        index: flat index within the whole tensor.
    """

    save: int
    rank: int
    key: int
    index: int

    def encode(self) -> int:
        """The tag as an integer below 2**53.

        Raises:
            ValueError: a part is out of range.
        """
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < LIMITS[name]:
                raise ValueError(f"tag {self}: {name} {value} is outside 0 to {LIMITS[name] - 1}")
        return ((((self.save << _RANK_BITS) | self.rank) << _KEY_BITS) | self.key) << _INDEX_BITS | self.index

    @classmethod
    def decode(cls, value: float) -> Tag | None:
        """The tag that an element carries, or None for what no tag encodes (NaN, infinity, fractions, negatives)."""
        if not (0 <= value < 1 << 53 and value == int(value)):
            return None
        number = int(value)
        index, number = number & (LIMITS["index"] - 1), number >> _INDEX_BITS
        key, number = number & (LIMITS["key"] - 1), number >> _KEY_BITS
        rank, save = number & (LIMITS["rank"] - 1), number >> _RANK_BITS
        return cls(save, rank, key, index) if save < LIMITS["save"] else None
