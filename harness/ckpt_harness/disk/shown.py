"""What a reader may get from the files that a crash or damage left behind."""

from __future__ import annotations

from typing import Literal

Shown = Literal["new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang", "death"]
SHOWN: tuple[Shown, ...] = ("new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang", "death")
"""The results of a load, best first.

- ``new``: the new checkpoint.
- ``old``: the old checkpoint.
- ``nothing``: no commit marker, so no checkpoint.
- ``error``: a commit marker, and an error on every rank.
- ``mixture``: values of two saves.
- ``wrong``: values of no save.
- ``disagreement``: success on some ranks, errors on the others.
- ``hang``: a load that does not end.
- ``death``: a load that ends its process, so that no rank reports anything. Seen where the load ran in another process.
"""
