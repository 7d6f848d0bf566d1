"""Decides which ranks try again once all faults are healed."""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.look import Storage
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.faults.protocol import Capability, Group
from ckpt_harness.judging.expectation import Ending, Forecast


def ranks_that_retry(bound: BoundCase, expected: Forecast, endings: Mapping[str, Mapping[int, RankEnding]], storage: Storage) -> frozenset[int]:
    """Returns the ranks of each group that must succeed if it tries again.

    Args:
        bound: the case.
        expected: how the operations had to end.
        endings: operation -> rank -> how it ended.
        storage: what each group left.
    """
    retrying: frozenset[int] = frozenset()
    if not bound.case.retry or bound.asks_for_less:  # what the engine may refuse proves nothing about its recovery
        return retrying
    for number, group in enumerate(bound.groups):
        committed = any(groups[number].committed for groups in storage.values())
        if _must_recover(bound, expected, group) and _failed(group, endings) and not (committed and _tells_commits(bound)):
            retrying |= frozenset(group.ranks)
    return retrying


def _must_recover(bound: BoundCase, expected: Forecast, group: Group) -> bool:
    """Whether the group owes a recovery. A group that lost a rank or timed out, in any operation, does not, unless it lost only an executor's process."""
    if bound.case.executor == "process":
        return True
    if bound.case.overlap == "shared" and len(group.ranks) > 1:
        return False  # two saves at once on one process group may cross in the second try, whatever became of the first
    owed = [expectation for expectation in expected.expectations if expectation.ranks == group.ranks]
    if any(expectation.apart and expectation.delayed >= GROUP_TIMEOUT for expectation in owed):
        return False  # a rank may have waited at the end for one that had failed already, until the group's timeout
    return all(expectation.exact for expectation in owed) and any(expectation.ending is Ending.FAILS for expectation in owed)


def _failed(group: Group, endings: Mapping[str, Mapping[int, RankEnding]]) -> bool:
    """Whether every operation raised on every rank of the group."""
    return all(ended[rank].outcome.kind == "raised" for ended in endings.values() for rank in group.ranks)


def _tells_commits(bound: BoundCase) -> bool:
    """Whether storage shows that a commit took place. Then a commit whose acknowledgement was lost is read back, and not overwritten."""
    return Capability.COMMIT_MARKER in bound.engine.capabilities
