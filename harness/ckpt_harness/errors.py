"""Errors that the harness raises on its own account.

None of them derives from torch's ``CheckpointException``: an error of the harness must never be taken for a checkpoint failure.
"""

from __future__ import annotations


class HarnessError(Exception):
    """Base of all errors of the harness."""


class UsageError(HarnessError, ValueError):
    """A value that a caller passed cannot be used; the message shows it with the valid choices."""


class PlanError(UsageError):
    """A fault plan that is malformed, or that could never act; raised before anything runs."""


class InjectedFault(Exception):
    """What ``raise`` throws when no other type is named.

    It pickles and unpickles, so it can cross ranks.

    Args:
        message: which fault of which plan this is.
    """


class InternalError(HarnessError):
    """The harness itself broke inside a hook. The case is UNKNOWN, never a checkpoint failure."""


class DeadlockError(HarnessError):
    """A rank waits for something that can no longer happen; the message says where, and for whom."""


class OracleViolation(AssertionError):
    """A claim about the engine does not hold; the message carries the evidence and a replay line."""
