"""The operations that jobs are drawn from, in a file of its own: it needs no torch."""

from __future__ import annotations

WORDS: tuple[str, ...] = ("save", "load", "async", "wait", "retry", "restart", "continue", "heal", "prune", "renew", "change")
"""First words of the operations, the simplest first."""
