"""The oracles about what ranks hold after a load that reported success."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ckpt_harness.faults.calling import PARTIAL_LOAD
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.evidence import Loaded
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import WITHOUT_ERRORS, Complaint, judged
from ckpt_harness.judging.verdict import Judgement


def purity(model: Model) -> Iterator[Judgement]:
    """A load that succeeds shows the values of one save only, on all ranks together.

    A mixture that fresh ranks have found in the same place before is for ``pairing`` to judge.
    """
    for made in _loads(model):
        values: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # place -> save -> ranks that hold values of it
        for rank, loaded in made.done.loaded.items():
            for call in loaded.calls:
                values[place_of(made, rank)][call].append(rank)
        complaints = []
        for place, by_call in values.items():
            if len(by_call) > 1 and not model.was_broken(place, made.begun):
                shown = " and ".join(f"{call} (ranks {ranks})" for call, ranks in sorted(by_call.items()))
                complaints.append(Complaint(f"loaded from place {place}: values of {shown}", _needs(model, made, place)))
        yield judged("purity", model, made.call, complaints, made.done.ranks)


def filled(model: Model) -> Iterator[Judgement]:
    """A load that reports success has filled its target, bit by bit, with the checkpoint that lay at its place.

    What fresh ranks have found broken in the same place before is for ``pairing`` and ``metadata`` to judge. A load whose planner allows a partial load may
    leave out what the checkpoint does not hold.
    """
    for made in _loads(model):
        complaints = []
        for rank, loaded in made.done.loaded.items():
            place = place_of(made, rank)
            unfilled = loaded.unfilled and getattr(made.operation, "planner", "") != PARTIAL_LOAD
            wrong = "the target still holds values from before the load" if unfilled else _wrong(model, made, place, loaded)
            if wrong and not model.was_broken(place, made.begun):
                complaints.append(Complaint(f"rank {rank}, loaded from place {place}: {wrong}", _needs(model, made, place)))
        yield judged("filled", model, made.call, complaints, made.done.ranks)


def _loads(model: Model) -> Iterator[Made]:
    for made in model.calls.values():
        if not made.is_save and made.done.loaded:
            yield made


def place_of(made: Made, rank: int) -> str:
    """Returns the place that a rank has loaded from."""
    return made.done.latest.get(rank) or made.done.place


def _needs(model: Model, made: Made, place: str) -> frozenset[Capability]:
    """What an engine must claim for wrong values with success to count: that it notices the lies which were told to it, if any were."""
    return (model.held_before(place, made.begun).needs | made.lies) - WITHOUT_ERRORS


def _wrong(model: Model, made: Made, place: str, loaded: Loaded) -> str:
    """How what a rank holds differs from each checkpoint that the place may have held; "" if it is one of them, or nobody can say."""
    held = model.held_before(place, made.begun)
    calls = [other.call for other in model.saves_to(place, made.begun)]
    owed = [call for call in calls if call in held.calls and not held.broken] or calls
    if any(call not in loaded.differences or not loaded.differences[call] for call in owed):
        return ""
    if not owed:
        return "success, although nothing was saved there"
    differences = loaded.differences[owed[-1]]
    return f"differs from {owed[-1]}: {'; '.join(differences[:3])}"
