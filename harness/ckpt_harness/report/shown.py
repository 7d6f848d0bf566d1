"""What a reader may get of stored files, in words and colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from ckpt_harness.disk.shown import SHOWN, Shown

ABOUT: dict[Shown, str] = {
    "new": "the new checkpoint",
    "old": "the old checkpoint",
    "nothing": "no checkpoint: there is no commit marker",
    "error": "a clean error on every rank, though there is a commit marker",
    "mixture": "success, with values of two saves",
    "wrong": "success, with values of no save",
    "disagreement": "success on some ranks, an error on others",
    "hang": "no end",
    "death": "no answer: the load ends its process",
}
"""What a reader gets -> in words."""

_STYLES: dict[Shown, str] = {"new": "green", "old": "green", "nothing": "yellow", "error": "yellow"}


def style_of(shown: Shown) -> str:
    """The colour of what a reader gets: green for a whole checkpoint, yellow for none, and else red."""
    return _STYLES.get(shown, "bold red")


def legend(kinds: Iterable[Shown], new: str = ABOUT["new"]) -> Iterator[Text]:
    """What the columns of a table mean.

    Args:
        kinds: what readers get in the table.
        new: the meaning of ``new``.
    """
    present = set(kinds)
    for kind in SHOWN:
        if kind in present:
            yield Text.assemble("  ", (f"{kind:<8}", style_of(kind)), (f" {new if kind == 'new' else ABOUT[kind]}", "dim"))
