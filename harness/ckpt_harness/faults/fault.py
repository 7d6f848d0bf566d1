"""One fault: where, on which ranks, at which occurrence, before or after the call, and what goes wrong."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from ckpt_harness.errors import PlanError, choices, quoted, unknown
from ckpt_harness.faults.effects import Effect, check_legal, parse_effect
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind, Site, find_site

Ranks = tuple[int, ...] | Literal["coordinator", "others", "all"]
SYMBOLIC: tuple[str, ...] = ("coordinator", "others", "all")
"""Words for ranks; ``others`` are all ranks but the coordinator."""
_UNWRITABLE = frozenset("();\0\n\r")
"""Characters that a file pattern cannot hold, since the text of a plan could not be read back, or not be passed to a command."""
LARGEST = 999_999_999
"""Largest rank, occurrence or operation number. Larger numbers are typing errors, and a plan's text must stay readable."""

MOST_CALLS = 1_000_000
"""Largest occurrence, and number of calls that a fault strikes: no operation makes more calls."""


@dataclass(frozen=True)
class OperationRef:
    """Which operations a fault is addressed to.

    Attributes:
        kind: ``save``, ``async_save`` or ``load``.
        index: the n-th operation of this kind, from 1; None for every operation of the kind.

    Example:
        >>> str(OperationRef("save", 3))
        'save[3]'
    """

    kind: OperationKind
    index: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in OPERATION_KINDS:
            raise PlanError(unknown("operation", self.kind, OPERATION_KINDS))
        if self.index is not None and not 1 <= self.index <= LARGEST:
            raise PlanError(f"operation {self}; valid: numbers from 1 to {LARGEST}")

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}[{self.index}]"

    def matches(self, operation: str) -> bool:
        """Whether the reference covers ``operation``, such as ``save[3]``."""
        return operation == str(self) or (self.index is None and operation.partition("[")[0] == self.kind)

    def may_meet(self, other: OperationRef) -> bool:
        """Whether both references may cover the same operation."""
        return self.kind == other.kind and (self.index is None or other.index is None or self.index == other.index)


@dataclass(frozen=True)
class Fault:
    """A fault. It is checked when it is made, so that impossible faults do not exist.

    Attributes:
        site: full name of the site.
        ranks: ranks of the world, sorted, or one of the words of :data:`SYMBOLIC`.
        effect: what goes wrong.
        nth: the first call of the site that the fault strikes, from 1. Calls are counted per rank: within the operation if the fault names an
            operation, else over the whole case.
        times: how many calls in a row it strikes; None for all calls from ``nth`` on.
        after: strike after the call has acted (the lost acknowledgement) instead of before the call.
        operation: the operations that the fault is addressed to; None for any.
        glob: for sites of files and objects: the file pattern to which the fault is narrowed.
        optional: whether a run may pass although the fault never fires.

    Raises:
        PlanError: the fault is impossible; the message shows the value and the valid choices.

    Example:
        >>> from ckpt_harness.faults.effects import Raise
        >>> str(Fault("writer.write_data", (2,), Raise("OSError:ENOSPC")))
        'writer.write_data@2=raise(OSError:ENOSPC)'
    """

    site: str
    ranks: Ranks
    effect: Effect
    nth: int = 1
    times: int | None = 1
    after: bool = False
    operation: OperationRef | None = None
    glob: str | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        site = self.at
        check_legal(self.effect, site, after=self.after)
        self._check_ranks()
        if not 1 <= self.nth <= MOST_CALLS:
            raise PlanError(f"{self.label}: occurrence {self.nth}; valid: 1 to {MOST_CALLS}")
        if self.times is not None and not 1 <= self.times <= MOST_CALLS:
            raise PlanError(f"{self.label}: strikes {self.times} times; valid: 1 to {MOST_CALLS}, or *")
        if self.operation is not None and self.operation.kind not in site.operations:
            raise PlanError(f"{self.label}: {site.name} is not called in {self.operation.kind!r}; {choices(site.operations)}")
        if self.glob is not None and site.layer == "calls":
            raise PlanError(f"{self.label}: {site.name} takes no file pattern; valid: sites of files and objects (fs.*, http.*)")
        if self.glob is not None and not _UNWRITABLE.isdisjoint(self.glob):
            raise PlanError(f"file pattern {quoted(self.glob)} of {site.name}; valid: a pattern without parentheses, `;` and line ends")

    def _check_ranks(self) -> None:
        if isinstance(self.ranks, str):
            if self.ranks not in SYMBOLIC:
                raise unknown_ranks(self.ranks)
        elif not self.ranks or any(not 0 <= rank <= LARGEST for rank in self.ranks) or list(self.ranks) != sorted(set(self.ranks)):
            raise PlanError(f"ranks {quoted(self.ranks)}; valid: distinct, sorted numbers from 0 to {LARGEST}")

    @property
    def at(self) -> Site:
        """The site as a row of the table.

        Raises:
            PlanError: the site is not in the table.
        """
        return find_site(self.site)

    @property
    def label(self) -> str:
        """The fault's text as error messages show it, cut in the middle if it is long.

        Example:
            >>> from ckpt_harness.faults.effects import Hang
            >>> Fault("writer.finish", "coordinator", Hang()).label
            "fault 'writer.finish@coordinator=hang'"
        """
        return f"fault {quoted(str(self), 70)}"

    def is_about(self, file: str) -> bool:
        """Whether the fault strikes files of this name.

        Example:
            >>> from ckpt_harness.faults.effects import BitFlip
            >>> Fault("fs.write", (0,), BitFlip(), glob="*.distcp").is_about(".metadata")
            False
        """
        return self.glob is None or fnmatchcase(file, self.glob)

    def strikes(self, nth: int) -> bool:
        """Whether the fault strikes call ``nth``.

        Example:
            >>> from ckpt_harness.faults.effects import Hang
            >>> fault = Fault("fs.write", (0,), Hang(), nth=2, times=3)
            >>> [nth for nth in range(1, 7) if fault.strikes(nth)]
            [2, 3, 4]
        """
        return nth >= self.nth and (self.times is None or nth < self.nth + self.times)

    def overlaps(self, other: Fault) -> bool:
        """Whether both faults may strike the same call, given that they share a rank."""
        if self.site != other.site or (self.glob != other.glob and None not in (self.glob, other.glob)):
            return False
        if (self.operation is None) != (other.operation is None):
            return True  # one fault counts over the case, the other within its operation: which calls they strike is not known before the run
        if self.operation is not None and other.operation is not None and not self.operation.may_meet(other.operation):
            return False
        first, second = sorted((self, other), key=lambda fault: fault.nth)
        return first.strikes(second.nth)

    def __str__(self) -> str:
        return self._in_a_plan

    @functools.cached_property  # asked for many times in each case
    def _in_a_plan(self) -> str:
        ranks = self.ranks if isinstance(self.ranks, str) else ",".join(map(str, self.ranks))
        times = "*" if self.times is None else str(self.times)
        window = "" if (self.nth, self.times) == (1, 1) else f"#{self.nth}" + ("" if self.times == 1 else f"x{times}")
        where = ("" if self.operation is None else f"{self.operation}/") + self.site + ("" if self.glob is None else f"({self.glob})")
        return f"{where}@{ranks}{window}{'!after' if self.after else ''}={self.effect}{'?' if self.optional else ''}"

    def to_json(self) -> dict[str, Any]:
        """The fault as plain data. Fields with their default value are left out."""
        data: dict[str, Any] = {"site": self.site, "ranks": self.ranks if isinstance(self.ranks, str) else list(self.ranks)}
        data["effect"] = str(self.effect)
        if (self.nth, self.times) != (1, 1):
            data |= {"nth": self.nth, "times": self.times}
        if self.after:
            data["after"] = True
        if self.operation is not None:
            data["operation"] = {"kind": self.operation.kind, "index": self.operation.index}
        if self.glob is not None:
            data["glob"] = self.glob
        if self.optional:
            data["optional"] = True
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """Makes a fault from the data that :meth:`to_json` returned.

        Raises:
            PlanError: a field is missing, unknown or of the wrong type.
        """
        if not isinstance(data, Mapping) or not set(_REQUIRED) <= data.keys() <= {*_REQUIRED, *_OPTIONAL}:
            raise PlanError(f"fault {quoted(data)} in JSON; valid: an object with {', '.join(_REQUIRED)}, and perhaps {', '.join(_OPTIONAL)}")
        ranks, operation, glob = data["ranks"], data.get("operation"), data.get("glob")
        if not isinstance(ranks, str):
            ranks = tuple(_typed("rank", rank, int) for rank in _typed("ranks", ranks, list, tuple))
        times = data.get("times", 1)
        return cls(
            site=_typed("site", data["site"], str),
            ranks=ranks,
            effect=parse_effect(_typed("effect", data["effect"], str)),
            nth=_typed("nth", data.get("nth", 1), int),
            times=None if times is None else _typed("times", times, int),
            after=_typed("after", data.get("after", False), bool),
            operation=None if operation is None else _operation(_typed("operation", operation, dict)),
            glob=None if glob is None else _typed("glob", glob, str),
            optional=_typed("optional", data.get("optional", False), bool),
        )


def unknown_ranks(ranks: str) -> PlanError:
    """The error for a text that names no ranks."""
    return PlanError(f"unknown ranks {quoted(ranks)}; valid: numbers such as 0,2, or {', '.join(SYMBOLIC)}")


_REQUIRED = ("site", "ranks", "effect")
_OPTIONAL = ("nth", "times", "after", "operation", "glob", "optional")


def _operation(data: Mapping[str, Any]) -> OperationRef:
    if data.keys() != {"kind", "index"}:
        raise PlanError(f"operation {quoted(data)} in JSON; valid: an object with kind and index")
    index = data["index"]
    return OperationRef(_typed("operation", data["kind"], str), None if index is None else _typed("operation number", index, int))


def _typed(what: str, value: Any, *kinds: type) -> Any:
    """``value``, if its type is one of ``kinds``. ``true`` is no number here, although Python would count with it, and neither is 1.5."""
    if type(value) not in kinds:
        raise PlanError(f"{what} {quoted(value)} has the wrong type; valid: {' or '.join(kind.__name__ for kind in kinds)}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise PlanError(f"{what} {quoted(value)}; valid: up to {LARGEST}")
    return value
