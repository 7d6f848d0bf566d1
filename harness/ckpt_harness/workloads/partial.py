"""A state whose load asks for less than was saved, at every place where a state may shrink."""

from __future__ import annotations

from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.plain import COUNT


class TaggedParts:
    """A ``Stateful`` that saves and loads only the parts that it was made with.

    Args:
        context: which values it holds.
        names: name of a part -> number of its entry within the workload.
    """

    def __init__(self, context: Context, names: dict[str, int]) -> None:
        self._parts = {name: context.tensor(key, COUNT) for name, key in names.items()}

    def state_dict(self) -> State:
        """Returns the state, without copying it."""
        return dict(self._parts)

    def load_state_dict(self, state_dict: State) -> None:
        """Replaces its own parts; other parts of the state are ignored."""
        self._parts = {name: state_dict[name] for name in self._parts}


def longer(context: Context) -> State:
    """A list, a nested dictionary, a ``Stateful``, and a tensor of each rank's own. A rank saves its own tensor, and loads those of all ranks."""
    own = range(context.shards) if context.as_loaded else [context.rank % context.shards]
    return {
        "layers": [context.tensor(80 + number, 2) for number in range(3)],
        "optimizer": {"groups": {"decay": context.tensor(84, 1), "no decay": context.tensor(85, 1)}},
        "averages": TaggedParts(context, {"weight": 86, "moment": 87}),
        **{f"of rank {rank}": context.tensor(88, 2, start=2 * rank, whose=rank) for rank in own},
    }


def shorter(context: Context) -> State:
    """A target for the same checkpoint, in which each container is shorter and the tensors of other ranks than the first are missing."""
    return {
        "layers": [context.tensor(80 + number, 2) for number in range(2)],
        "optimizer": {"groups": {"decay": context.tensor(84, 1)}},
        "averages": TaggedParts(context, {"weight": 86}),
        "of rank 0": context.tensor(88, 2, whose=0),
    }
