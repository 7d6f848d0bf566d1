"""Under which names an engine's known findings are looked up."""

from __future__ import annotations

from ckpt_harness.engines.base import find_engine


def known_as(name: str) -> tuple[str, ...]:
    """The engine's own name and, for a storage that inherits one of DCP's own, that of the built-in engine whose findings it inherits with it.

    Args:
        name: of the engine, which says the other in an attribute ``kin``, if it has one.
    """
    kin: str = getattr(find_engine(name), "kin", "")
    return (name, kin) if kin else (name,)
