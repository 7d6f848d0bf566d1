"""Which ranks try again: those that had to fail, did, and left nothing that is to be read instead."""

from __future__ import annotations

import dataclasses

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.cases.retry import ranks_that_retry
from ckpt_harness.judging.evidence import Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast


def _ends(*kinds: str) -> dict[str, dict[int, RankEnding]]:
    return {"save[1]": {rank: RankEnding("save[1]", Outcome(kind)) for rank, kind in enumerate(kinds)}}  # type: ignore[arg-type]  # literals


def _expected(ending: Ending, *groups: tuple[int, ...]) -> Forecast:
    return Forecast(tuple(Expectation("save[1]", ranks, ending) for ranks in groups), frozenset())


@pytest.mark.parametrize(
    ("ending", "kinds", "committed", "retrying"),
    [
        (Ending.FAILS, ("raised", "raised"), False, {0, 1}),
        (Ending.FAILS, ("raised", "raised"), True, set()),  # the commit is read back, not overwritten
        (Ending.FAILS, ("raised", "returned"), False, set()),  # a finding, not a failure to recover from
        (Ending.STALLS, ("raised", "raised"), False, set()),  # a rank was lost
        (Ending.SUCCEEDS, ("returned", "returned"), True, set()),
    ],
)
def test_a_group_that_failed_as_it_had_to_tries_again(ending: Ending, kinds: tuple[str, ...], committed: bool, retrying: set[int]) -> None:
    """All of its ranks do, or none."""
    storage = {"save[1]": (StorageEvidence(committed, ranks=(0, 1)),)}
    assert ranks_that_retry(Case().bind(), _expected(ending, (0, 1)), _ends(*kinds), storage) == retrying


def test_each_group_is_looked_at_by_itself() -> None:
    """One committed, the other failed."""
    storage = {"save[1]": (StorageEvidence(False, ranks=(0, 2)), StorageEvidence(True, ranks=(1, 3)))}
    ends = _ends("raised", "returned", "raised", "returned")
    assert ranks_that_retry(Case(ranks=4, way="groups").bind(), _expected(Ending.FAILS, (0, 2)), ends, storage) == {0, 2}


@pytest.mark.parametrize(
    ("other", "retrying"), [(Ending.FAILS, {0, 1}), (Ending.SUCCEEDS, {0, 1}), (Ending.STALLS, set()), (Ending.UNDETERMINED, set())]
)
def test_of_two_saves_at_once_neither_may_have_lost_a_rank(other: Ending, retrying: set[int]) -> None:
    """A group that timed out in one save is of no use to the other."""
    saves = {"async_save[1]": Ending.FAILS, "async_save[2]": other}
    expected = Forecast(tuple(Expectation(save, (0, 1), ending) for save, ending in saves.items()), frozenset())
    ends = {save: {rank: RankEnding(save, Outcome("raised")) for rank in (0, 1)} for save in saves}
    storage = {save: (StorageEvidence(False, ranks=(0, 1)),) for save in saves}
    case = Case(operation="async_save", overlap="separate")
    assert ranks_that_retry(case.bind(), expected, ends, storage) == retrying
    assert not ranks_that_retry(dataclasses.replace(case, overlap="shared").bind(), expected, ends, storage)  # their collectives may cross


@pytest.mark.parametrize(("delayed", "retrying"), [(5.0, {0, 1}), (3600.0, set())])
def test_ranks_that_wait_for_a_failed_rank_must_not_have_timed_out(delayed: float, retrying: set[int]) -> None:
    """Without collectives a rank waits at the end for one that has failed already, and after a timeout the group is of no more use."""
    storage = {"save[1]": (StorageEvidence(False, ranks=(0, 1)),)}
    expected = Forecast((Expectation("save[1]", (0, 1), Ending.FAILS, apart=True, delayed=delayed),), frozenset())
    assert ranks_that_retry(Case(way="no_collectives").bind(), expected, _ends("raised", "raised"), storage) == retrying


def test_a_case_without_retry_has_none() -> None:
    """Whatever happened."""
    storage = {"save[1]": (StorageEvidence(False, ranks=(0, 1)),)}
    assert ranks_that_retry(Case(retry=False).bind(), _expected(Ending.FAILS, (0, 1)), _ends("raised", "raised"), storage) == set()
