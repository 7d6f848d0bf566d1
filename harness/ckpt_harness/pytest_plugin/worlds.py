"""Which world a test runs in: what its mark says that it can, and what the command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ckpt_harness.pytest_plugin.names import MARK, WORLDS

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName


def possible(item: pytest.Item) -> tuple[WorldName, ...]:
    """The worlds that a test can run in, by its mark or the nearest one around it; that where it runs unless asked otherwise comes first.

    Raises:
        pytest.UsageError: a mark that names none, or one that does not exist.
    """
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return WORLDS[:1]
    unknown = [name for name in mark.args if name not in WORLDS]
    if unknown or mark.kwargs or not mark.args:
        choices = ", ".join(map(repr, WORLDS))
        raise pytest.UsageError(f"{MARK} takes the worlds that a test can run in, of {choices}; got {mark.args or mark.kwargs or 'nothing'!r}")
    return mark.args


def chosen(item: pytest.Item, asked: WorldName | None) -> WorldName:
    """The world that a test runs in.

    Args:
        item: the test.
        asked: the world that the command line asks for.

    Raises:
        pytest.skip.Exception: it cannot run there.
        pytest.UsageError: a bad mark.
    """
    can = possible(item)
    # Real ranks, wherever they come from, will do for what simulated ones do for too; what runs on none but those does so on rank 0.
    if asked == "attached" and "attached" not in can and "simulated" in can:
        return "attached" if "processes" in can else "simulated"
    if asked is None or asked in can:
        return asked or can[0]
    pytest.skip(f"runs in world {' or '.join(map(repr, can))}, not {asked!r}: so says {MARK}, or that there is no such mark")
