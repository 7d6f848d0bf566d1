"""One fault: where, on which ranks, at which occurrence, before or after the call, and what goes wrong."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects import Effect, check_legal, parse_effect
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind, Site, named

Ranks = tuple[int, ...] | Literal["coordinator", "others", "all"]
SYMBOLIC: tuple[str, ...] = ("coordinator", "others", "all")
LARGEST = 999_999_999
"""Largest rank, occurrence or operation number; larger ones are typing errors, and a plan's text must stay readable."""


@dataclass(frozen=True)
class OperationRef:
    """Which operations a fault is addressed to.

    Attributes:
        kind: ``save``, ``async_save`` or ``load``.
        index: the n-th operation of that kind, from 1; None for every one.
    """

    kind: OperationKind
    index: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in OPERATION_KINDS:
            raise PlanError(f"unknown operation {self.kind!r}; operations: {', '.join(OPERATION_KINDS)}")
        if self.index is not None and not 1 <= self.index <= LARGEST:
            raise PlanError(f"operation {self}: operations are numbered from 1 to {LARGEST}")

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}[{self.index}]"

    def matches(self, operation: str) -> bool:
        """Whether ``operation`` (such as ``save[3]``) is meant."""
        return operation == str(self) or (self.index is None and operation.partition("[")[0] == self.kind)

    def may_meet(self, other: OperationRef) -> bool:
        """Whether both may address one operation."""
        return self.kind == other.kind and (self.index is None or other.index is None or self.index == other.index)


@dataclass(frozen=True)
class Fault:
    """A fault, checked when made: an impossible one does not exist.

    Attributes:
        site: full name of the site.
        ranks: ranks of the world, sorted, or ``coordinator``, ``others`` (all but it), ``all``.
        effect: what goes wrong.
        nth: the first occurrence that it strikes, from 1, counted per rank: within the operation where one is named, else over the case.
        times: how many occurrences in a row; None for all that follow.
        after: strike when the call has acted (the lost acknowledgement) instead of before.
        operation: the operations it is addressed to, or None for any.
        glob: for sites of files and objects, the names it is narrowed to.
        optional: whether a run in which it never fires is still a good one.
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
        if not 1 <= self.nth <= LARGEST or (self.times is not None and not 1 <= self.times <= LARGEST):
            raise PlanError(f"fault {self}: occurrences are counted from 1 to {LARGEST}, and a fault strikes at least once")
        if self.operation is not None and self.operation.kind not in site.operations:
            raise PlanError(f"fault {self}: {site.name} is not called in {self.operation.kind!r}; it is in: {', '.join(site.operations)}")
        if self.glob is not None and site.layer == "calls":
            raise PlanError(f"fault {self}: only sites of files and objects (fs.*, http.*) are narrowed by a pattern")

    def _check_ranks(self) -> None:
        if isinstance(self.ranks, str):
            if self.ranks not in SYMBOLIC:
                raise PlanError(f"unknown ranks {self.ranks!r}; valid: numbers such as 0,2, or {', '.join(SYMBOLIC)}")
        elif not self.ranks or any(not 0 <= rank <= LARGEST for rank in self.ranks) or list(self.ranks) != sorted(set(self.ranks)):
            raise PlanError(f"ranks {self.ranks!r} must be distinct, sorted and from 0 to {LARGEST}")

    @property
    def at(self) -> Site:
        """The site's row of the table.

        Raises:
            PlanError: the site is not in the table.
        """
        return named(self.site)

    def is_about(self, file: str) -> bool:
        """Whether it strikes files of this name."""
        return self.glob is None or fnmatchcase(file, self.glob)

    def strikes(self, nth: int) -> bool:
        """Whether the occurrence ``nth`` is among those that it strikes."""
        return nth >= self.nth and (self.times is None or nth < self.nth + self.times)

    def overlaps(self, other: Fault) -> bool:
        """Whether both may strike one occurrence, given that they share a rank."""
        if self.site != other.site or (self.glob != other.glob and None not in (self.glob, other.glob)):
            return False
        if (self.operation is None) != (other.operation is None):
            return True  # one counts over the case, the other within its operation: nothing tells them apart before the run
        if self.operation is not None and other.operation is not None and not self.operation.may_meet(other.operation):
            return False
        first, second = sorted((self, other), key=lambda fault: fault.nth)
        return first.strikes(second.nth)

    def __str__(self) -> str:
        ranks = self.ranks if isinstance(self.ranks, str) else ",".join(map(str, self.ranks))
        times = "*" if self.times is None else str(self.times)
        window = "" if (self.nth, self.times) == (1, 1) else f"#{self.nth}" + ("" if self.times == 1 else f"x{times}")
        where = ("" if self.operation is None else f"{self.operation}/") + self.site + ("" if self.glob is None else f"({self.glob})")
        return f"{where}@{ranks}{window}{'!after' if self.after else ''}={self.effect}{'?' if self.optional else ''}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; fields with their default value are left out."""
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
        """Reads what :meth:`to_json` wrote.

        Raises:
            PlanError: something is missing, unknown, or of the wrong kind.
        """
        allowed = {"site", "ranks", "effect", "nth", "times", "after", "operation", "glob", "optional"}
        if not isinstance(data, Mapping) or not {"site", "ranks", "effect"} <= data.keys() <= allowed:
            raise PlanError(f"fault {reprlib.repr(data)}: needs site, ranks and effect, and may have {', '.join(sorted(allowed))}")
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


def _operation(data: Mapping[str, Any]) -> OperationRef:
    if data.keys() != {"kind", "index"}:
        raise PlanError(f"operation {reprlib.repr(data)}: needs kind and index")
    index = data["index"]
    return OperationRef(_typed("operation", data["kind"], str), None if index is None else _typed("operation number", index, int))


def _typed(what: str, value: Any, *kinds: type) -> Any:
    """``value``, if it is of one of the kinds. ``true`` is no number here, though Python would count with it, and neither is 1.5."""
    if type(value) not in kinds:
        raise PlanError(f"{what} {reprlib.repr(value)} is of the wrong kind; valid: {' or '.join(kind.__name__ for kind in kinds)}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise PlanError(f"{what} is a number of {value.bit_length()} bits; valid: up to {LARGEST}")
    return value
