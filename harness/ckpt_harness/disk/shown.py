"""What a reader may get from files that a crash or damage left behind."""

from __future__ import annotations

from typing import Literal

Shown = Literal["new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang"]
SHOWN: tuple[Shown, ...] = ("new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang")
"""What a reader may get of what is left, the best first: the new checkpoint, the old one; no checkpoint at all; a commit marker, and a clean error on
every rank; values of two saves; other values; success on some ranks only; no end."""
