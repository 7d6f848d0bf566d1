"""What a load across releases amounts to, on outcomes written by hand; and which exit status a run has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import ckpt_harness
from ckpt_harness.campaigns.across import boot
from ckpt_harness.campaigns.across.compare import VIOLATIONS, Ending, OnRank, Result, judged
from ckpt_harness.campaigns.across.interpreters import OLDEST_TORCH
from ckpt_harness.campaigns.across.run import Across

RETURNED, RAISED, HUNG, DIED = OnRank("returned"), OnRank("raised", "TypeError: strides"), OnRank("hung", "gather"), OnRank("died", "exit status 7")
OTHER = OnRank("returned", differences=("w: zero instead of 1",))
WHOLE = Result(Ending.WHOLE)
SAVED = [RETURNED, RETURNED]


@pytest.mark.parametrize(
    ("attempts", "ending", "why"),
    [
        ({2: [RETURNED, RETURNED], 1: [RETURNED]}, Ending.WHOLE, ""),
        ({2: [RAISED, RAISED], 1: [RAISED]}, Ending.REFUSED, "TypeError: strides"),
        ({2: [RETURNED, RETURNED], 1: [RAISED]}, Ending.REFUSED, "with 1 rank only: TypeError: strides"),
        ({2: [RETURNED, RAISED], 1: [RETURNED]}, Ending.DIVIDED, "with 2 ranks only: success on rank 0; elsewhere TypeError: strides"),
        ({2: [HUNG, RAISED], 1: [RAISED]}, Ending.HUNG, "with 2 ranks only: gather"),
        ({2: [DIED], 1: [DIED]}, Ending.DIED, "exit status 7"),
        ({2: [RETURNED, OTHER], 1: [RETURNED]}, Ending.WRONG, "with 2 ranks only: rank 1: w: zero instead of 1"),
        ({2: [RAISED, RAISED], 1: [OTHER]}, Ending.WRONG, "with 1 rank only: rank 0: w: zero instead of 1"),
        ({2: [RAISED, OTHER], 1: [RAISED]}, Ending.WRONG, "with 2 ranks only: rank 1: w: zero instead of 1"),
    ],
)
def test_the_worst_load_of_a_checkpoint_counts(attempts: dict[int, list[OnRank]], ending: Ending, why: str) -> None:
    """With the number of ranks, where the other number does better."""
    assert judged(SAVED, attempts, own=WHOLE) == Result(ending, why)


@pytest.mark.parametrize("attempt", [[RAISED, RAISED], [RETURNED, RAISED], [HUNG, HUNG], [DIED]], ids=str)
def test_what_a_release_does_to_its_own_checkpoints_says_nothing_about_releases(attempt: list[OnRank]) -> None:
    """Neither of its own checkpoint, nor of that of another."""
    own = judged(SAVED, {2: attempt}, own=None)
    assert own.ending is Ending.UNAVAILABLE
    assert judged(SAVED, {2: attempt}, own).ending is Ending.UNAVAILABLE


def test_wrong_values_count_whoever_saved_them() -> None:
    """A release that restores other values than it saved itself is no excuse for anything."""
    own = judged(SAVED, {2: [RETURNED, OTHER]}, own=None)
    assert own.ending is Ending.WRONG
    assert judged(SAVED, {2: [RETURNED, OTHER]}, own).ending is Ending.WRONG


@pytest.mark.parametrize("saved", [[RETURNED, RAISED], [HUNG, HUNG], [DIED]], ids=str)
def test_a_workload_that_cannot_be_saved_is_unavailable(saved: list[OnRank]) -> None:
    """With the reason; nothing is loaded then."""
    result = judged(saved, {}, own=WHOLE)
    assert result.ending is Ending.UNAVAILABLE
    assert result.why.startswith("it cannot be saved: ")


def _across(there: Ending, back: Ending = Ending.WHOLE, old: Ending = Ending.WHOLE, new: Ending = Ending.WHOLE) -> Across:
    """Releases 1 and 2, asked whether 2 loads what 1 saved; ``old`` and ``new`` are what they do with their own checkpoints."""
    results = {("1", "1"): old, ("2", "2"): new, ("1", "2"): there, ("2", "1"): back}
    return Across("mine", (2, 1), {"1": "3.11.7", "2": "3.11.7"}, (("1", "2"),), {pair: {"mixed": Result(ending)} for pair, ending in results.items()})


@pytest.mark.parametrize("ending", Ending)
def test_only_what_no_release_may_do_is_a_violation(ending: Ending) -> None:
    """A clear error is none, on the way asked for or on the way back."""
    for across in (_across(ending), _across(Ending.WHOLE, back=ending)):
        assert across.status() == (1 if ending in VIOLATIONS else 0)


def test_a_refusal_counts_where_the_user_says_that_checkpoints_must_load() -> None:
    """On the way asked for only."""
    assert _across(Ending.REFUSED).status(must_load=True) == 1
    assert _across(Ending.WHOLE, back=Ending.REFUSED).status(must_load=True) == 0


def test_a_release_that_loads_nothing_does_not_load_what_must_load() -> None:
    """Not even its own checkpoints: no refusal of the other release's, and no success. A workload that was never saved need not load."""
    none = Ending.UNAVAILABLE
    assert _across(none, none, new=none).status() == 0
    assert _across(none, none, new=none).status(must_load=True) == 1
    assert _across(none, none, old=none).status(must_load=True) == 0


def test_nothing_loaded_is_no_success() -> None:
    """No verdict, if no release can save and load the workloads at all."""
    none = Ending.UNAVAILABLE
    assert _across(none, none, none, none).status(must_load=True) == 3


@pytest.mark.parametrize("ending", Ending)
def test_the_json_of_a_run_says_all_of_it(ending: Ending) -> None:
    """It is read back as it was."""
    across = _across(ending)
    assert Across.from_json(json.loads(json.dumps(across.to_json()))) == across


def test_no_release_is_accepted_that_is_older_than_the_package_asks_for() -> None:
    """A higher bound of Python or torch in pyproject.toml is a higher bound here."""
    project = (Path(ckpt_harness.__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    for name, oldest in (("requires-python = ", boot.OLDEST_PYTHON), ("torch", OLDEST_TORCH)):
        (bound,) = re.findall(rf'^ *"?{name}"?>=([0-9.]+)"', project, re.MULTILINE)
        assert oldest >= tuple(map(int, bound.split(".")))
