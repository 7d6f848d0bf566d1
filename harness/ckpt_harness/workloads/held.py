"""What the caller of a load holds once it has returned.

A load may fill the caller's objects in place, or put other values in their place in the state. Whoever passes a ``Stateful`` goes on working with that
object, and never looks into the state again.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness._torch import is_stateful


def remembered(state: Any) -> Any:
    """Copies the dictionaries and lists of a state, and nothing that they hold: a load may put other objects in their places."""
    if isinstance(state, dict):
        return {key: remembered(value) for key, value in state.items()}
    return [remembered(value) for value in state] if isinstance(state, list) else state


def held(before: Any, after: Any) -> Any:
    """Returns a loaded state as its caller sees it: each ``Stateful`` is the object that the caller passed, whatever the state holds by now.

    Args:
        before: what :func:`remembered` returned before the load.
        after: the state after the load.

    Example:
        >>> held({"epoch": 0, "layers": [1, 2]}, {"epoch": 7, "layers": [3, 4]})
        {'epoch': 7, 'layers': [3, 4]}
    """
    if is_stateful(before):
        return before
    if isinstance(before, dict) and isinstance(after, dict):
        return {key: held(before.get(key), value) for key, value in after.items()}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [held(old, new) for old, new in zip(before, after, strict=True)]
    return after
