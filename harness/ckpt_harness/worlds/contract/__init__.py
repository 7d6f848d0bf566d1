"""The contract of worlds: checks that every implementation must pass. They need no test framework.

A check is a function ``check_<claim>(make_world)`` or ``check_<claim>(make_world, place)`` that raises ``AssertionError`` if the claim does not hold.
``make_world(size)`` makes a world of ``size`` ranks with a process group like gloo's; the world itself detects hangs. ``place`` is an empty directory
that all ranks can access. Bodies are functions at module level, so that they can be pickled and sent to other processes.
"""

from __future__ import annotations

from collections.abc import Callable

from ckpt_harness.worlds.contract import checkpoints, collectives, deaths, hangs, ranks

__all__ = ["checks"]


def checks() -> list[Callable[..., None]]:
    """Returns all checks, in the order of their files."""
    files = (ranks, collectives, hangs, deaths, checkpoints)
    return [value for file in files for name, value in vars(file).items() if name.startswith("check_")]
