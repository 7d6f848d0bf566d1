"""Tags: numbers that identify every element of a checkpoint by its save, rank, entry and index.

A mixture of two saves, or a shard that was loaded into the wrong place, is recognised element by element. A float64 holds every tag exactly, so
that load targets can start as NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

_INDEX_BITS, _KEY_BITS, _RANK_BITS, _SAVE_BITS = 22, 9, 12, 9
LOWEST = {"save": 1, "rank": 0, "key": 0, "index": 0}
"""Lower limit of each part. No save has the number 0, so that zeros and other small numbers are no tags."""
LIMITS = {"save": 1 << _SAVE_BITS, "rank": 1 << _RANK_BITS, "key": 1 << _KEY_BITS, "index": 1 << _INDEX_BITS}
"""Upper limit of each part (exclusive)."""


@dataclass(frozen=True)
class Tag:
    """The identity of an element.

    Attributes:
        save: number of the save that wrote the element, from 1.
        rank: the rank that owned the element; 0 for replicated values.
        key: number of the entry within the workload.
        index: flat index within the whole tensor.

    Example:
        >>> Tag.decode(Tag(save=2, rank=1, key=7, index=5).encode())
        Tag(save=2, rank=1, key=7, index=5)

        Small numbers are no tags, since there is no save 0:

        >>> Tag.decode(1.0) is None
        True
    """

    save: int
    rank: int
    key: int
    index: int

    def encode(self) -> int:
        """Returns the tag as an integer below 2**53.

        Raises:
            ValueError: a part is out of range.
        """
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if not lowest <= value < LIMITS[name]:
                raise ValueError(f"{self}: {name} {value} is out of range; valid: {lowest} to {LIMITS[name] - 1}")
        return ((((self.save << _RANK_BITS) | self.rank) << _KEY_BITS) | self.key) << _INDEX_BITS | self.index

    @classmethod
    def decode(cls, value: float) -> Tag | None:
        """Returns the tag of an element; None for a value that is no tag (NaN, infinity, a fraction, a negative or small number)."""
        if not (0 <= value < 1 << 53 and value == int(value)):
            return None
        number = int(value)
        index, number = number & (LIMITS["index"] - 1), number >> _INDEX_BITS
        key, number = number & (LIMITS["key"] - 1), number >> _KEY_BITS
        rank, save = number & (LIMITS["rank"] - 1), number >> _RANK_BITS
        return cls(save, rank, key, index) if LOWEST["save"] <= save < LIMITS["save"] else None
