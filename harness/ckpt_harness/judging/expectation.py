"""What the model predicts, as values: how an operation must end, which ranks must be blamed, and which faults decide.

:func:`ckpt_harness.judging.model.forecast` makes these values; the oracles compare them with what happened.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ckpt_harness.faults.bound_plan import BoundFault
from ckpt_harness.faults.effects import BitFlip, Misdirect, Skip, StaleRead, TornWrite, Truncate, WrongResult, ZeroFill
from ckpt_harness.history import ErrorRecord

DAMAGES = (TornWrite, BitFlip, ZeroFill, Truncate, Misdirect)
"""Effects that damage bytes without any error."""

DECEPTIONS = (*DAMAGES, Skip, WrongResult, StaleRead)
"""Effects by which a call reports success although it did not do its work."""


class Ending(enum.Enum):
    """How an operation must end. Only SUCCEEDS and FAILS are exact.

    Example:
        >>> Ending.FAILS.value
        'fails'
    """

    SUCCEEDS = "succeeds"
    """Every rank reports success."""
    FAILS = "fails"
    """Every rank reports the injected errors, and no others."""
    STALLS = "stalls"
    """A rank is lost (killed, hanging, too late). Its peers may wait as long as the backend does, but none of them may report success."""
    UNDETERMINED = "undetermined"
    """The consequences depend on the engine (a wrong result, for instance). Only agreement and the stored bytes are judged."""


@dataclass(frozen=True)
class Acting:
    """A fault that acts on a rank.

    Attributes:
        bound: the fault.
        rank: the rank of the world on which the fault acts.
        error: the error that the fault raises, as data; None for effects that raise nothing.
        within: for a disk or network site, the storage call during which the fault strikes, such as ``writer.write_data``.
    """

    bound: BoundFault
    rank: int
    error: ErrorRecord | None = None
    within: str = ""

    @property
    def where(self) -> str:
        """The site that fails, as the engine sees it: the enclosing storage call for disk and network sites."""
        return self.within or self.bound.fault.site


@dataclass(frozen=True)
class Expectation:
    """What one operation of one group of ranks must lead to.

    Attributes:
        operation: such as ``save[1]``.
        ranks: the participating ranks of the world, ordered by their rank within the group.
        ending: how the operation must end.
        step: the protocol step that must fail, or "" where no step guards the site.
        failures: what a ``CheckpointException`` must contain: rank within the group -> error.
        decisive: the faults that decide the outcome.
        must_fire: (text of the fault, rank) of every fault that acts.
        coordinator: the rank of the world that coordinates.
        deceived: whether a call reports success although it did not do its work (:data:`DECEPTIONS`), or may do so.
        elsewhere: faults in another operation at the same time that may take a rank from this one. Only where the ending is UNDETERMINED.
        possible_lies: the :data:`DECEPTIONS` that may act before the operation ends. Only where the ending is UNDETERMINED.
        agreement: whether all ranks must end alike. False where a rank is lost in the very collective that informs its peers.
        apart: whether ranks learn nothing of each other (no collectives). Ranks in ``failures`` raise their own errors; other ranks may end either way.
        delayed: seconds (world time) by which the injected delays prolong the operation, at most.
        maskable: whether success is right as well, provided that the stored bytes are right. True for faults below the storage, where an engine may
            repeat a failed call or do without it. Example: ``http.put@1=status(503)`` fails one upload; a client that repeats the upload succeeds.
        lasting: whether the fault persists, so that the engine may recover in one step and fail in a later step. Example:
            ``http.put@1#1x*=status(503)`` refuses every upload; the error may surface in step "write" or later, so the step's name is not checked.
    """

    operation: str
    ranks: tuple[int, ...]
    ending: Ending
    step: str = ""
    failures: Mapping[int, ErrorRecord] = field(default_factory=dict)
    decisive: tuple[Acting, ...] = ()
    must_fire: frozenset[tuple[str, int]] = frozenset()
    coordinator: int = 0
    deceived: bool = False
    agreement: bool = True
    apart: bool = False
    delayed: float = 0.0
    maskable: bool = False
    lasting: bool = False
    possible_lies: tuple[Acting, ...] = ()
    elsewhere: tuple[Acting, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the model knows exactly how the operation ends (SUCCEEDS or FAILS).

        Example:
            >>> Expectation("save[1]", (0, 1), Ending.STALLS).exact
            False
        """
        return self.ending in (Ending.SUCCEEDS, Ending.FAILS)

    def open_ended(self) -> Expectation:
        """Returns the expectation of an operation that may end in any way, on each rank for itself: the model cannot say what it meets.

        Example:
            >>> owed = Expectation("save[1]", (0, 1), Ending.FAILS, "write").open_ended()
            >>> owed.ending.name, owed.step, owed.agreement
            ('UNDETERMINED', '', False)
        """
        return replace(self, ending=Ending.UNDETERMINED, step="", failures={}, must_fire=frozenset(), agreement=False)

    @property
    def damages(self) -> bool:
        """Whether a decisive fault damages bytes, or a possible lie may."""
        return any(isinstance(acting.bound.fault.effect, DAMAGES) for acting in (*self.decisive, *self.possible_lies))


@dataclass(frozen=True)
class Forecast:
    """What a whole case must lead to.

    Attributes:
        expectations: one for each operation and group of ranks.
        unreachable: (text of the fault, rank) of faults that match no call of the fault-free run.
    """

    expectations: tuple[Expectation, ...]
    unreachable: frozenset[tuple[str, int]]

    def refusable(self) -> Forecast:
        """Returns the forecast of operations that the engine may also refuse, with an error of its own, as long as all ranks agree.

        Example:
            >>> owed = Forecast((Expectation("load[1]", (0, 1), Ending.SUCCEEDS),), frozenset())
            >>> owed.refusable().expectations[0].ending.name
            'UNDETERMINED'
        """
        open_ended = [replace(owed, ending=Ending.UNDETERMINED) if owed.ending is Ending.SUCCEEDS else owed for owed in self.expectations]
        return replace(self, expectations=tuple(open_ended))
