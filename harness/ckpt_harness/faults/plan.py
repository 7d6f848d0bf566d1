"""Plans: validated, frozen sets of faults, and their binding to a world."""

from __future__ import annotations

import itertools
import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ckpt_harness.errors import PlanError
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import SIMULABLE, Effect, Exit, FailFuture, Kill, Raise, Stop
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.protocol import DCP, Group, Protocol, groups_of
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.faults.text import faults_of


@dataclass(frozen=True)
class FaultPlan:
    """A set of faults as a value: hashable, printable, and parsed back from its text (``FaultPlan.parse(str(plan)) == plan``).

    Attributes:
        faults: in the order they were written.
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for first, second in itertools.combinations(self.faults, 2):
            if first.overlaps(second) and _share_a_rank(first, second):
                raise PlanError(f"two faults on one occurrence: {first} and {second}")
        for fault in self.faults:
            _check_coordinator_only(fault)

    @classmethod
    def parse(cls, text: str, *, side: str | None = None) -> FaultPlan:
        """Reads a plan.

        Args:
            text: faults joined by ``;``, each ``[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]``. A phase (``write``)
                means its principal site here; see :meth:`expand`.
            side: ``writer`` or ``reader`` inside a wrapper of that side, where the prefix may be left out.

        Raises:
            PlanError: syntax or legality, with the value and the valid choices.
        """
        if not isinstance(text, str):
            raise PlanError(f"a plan is text, not {type(text).__name__}: {text!r}")
        return cls(tuple(fault for meant in faults_of(text, side=side, every_site=False) for fault in meant))

    @classmethod
    def expand(cls, text: str, *, side: str | None = None) -> tuple[FaultPlan, ...]:
        """Reads a text in which phases stand for all their sites: one plan a site.

        Raises:
            PlanError: as :meth:`parse`.
        """
        return tuple(cls(choice) for choice in itertools.product(*faults_of(text, side=side, every_site=True)))

    @classmethod
    def from_fail_conf(cls, conf: Mapping[str, Any], *, side: str) -> FaultPlan:
        """Reads the dictionary of DCP's own failure tests, such as ``{"fail_write_data": [2]}``.

        The error is a ``ValueError`` every time, as there (``test/distributed/checkpoint/test_checkpoint.py``); ``_async`` after a name
        means the future that the method returned.

        Args:
            conf: ``fail_<method>`` or ``fail_<method>_async`` -> ranks. ``ignore_exception_type``, a switch of those tests, is accepted.
            side: ``writer`` or ``reader``, since both have the same keys.

        Raises:
            PlanError: an unknown side or key, or ranks that are no list of numbers.
        """
        if side not in ("writer", "reader"):
            raise PlanError(f"side {side!r}; valid: writer, reader")
        keys = {f"fail_{site.method.removesuffix('.future')}{'_async' * site.is_future}": site for site in SITES.values() if site.side == side}
        faults = []
        for key, ranks in conf.items():
            if key == "ignore_exception_type":
                continue
            if key not in keys:
                raise PlanError(f"unknown key {key!r} for a {side}; valid: {', '.join(keys)}, ignore_exception_type")
            if isinstance(ranks, str) or not isinstance(ranks, Sequence) or not all(isinstance(rank, int) for rank in ranks):
                raise PlanError(f"{key}={ranks!r}; valid: a list of ranks, such as [0, 2]")
            effect: Effect = FailFuture("wait", "ValueError") if keys[key].is_future else Raise("ValueError")
            if ranks:
                faults.append(Fault(keys[key].name, tuple(sorted(set(ranks))), effect, times=None))
        return cls(tuple(faults))

    def bind(self, world_size: int, coordinator: int = 0, protocol: Protocol = DCP, groups: tuple[Group, ...] | None = None) -> BoundPlan:
        """Checks the plan against a world, before anything runs.

        Args:
            world_size: number of ranks.
            coordinator: the rank that coordinates; within its group, where there are several.
            protocol: the protocol of the engine under test.
            groups: who does the operation with whom; see :func:`ckpt_harness.faults.protocol.groups_of` for what is meant without it.

        Raises:
            PlanError: a rank outside the world or of no group, a coordinator-only site on another rank, a fault on nobody, two faults on one
                occurrence, or an error type that cannot be imported.
        """
        if world_size < 1 or not 0 <= coordinator < world_size:
            raise PlanError(f"coordinator {coordinator} of a world of {world_size}; valid: 0 to {max(world_size - 1, 0)}")
        parties = groups_of(world_size, coordinator, protocol) if groups is None else groups
        bound = tuple(BoundFault(fault, _bound_ranks(fault, world_size, parties, protocol)) for fault in self.faults)
        for first, second in itertools.combinations(bound, 2):
            both = first.ranks & second.ranks
            if both and first.fault.overlaps(second.fault):
                raise PlanError(f"two faults on one occurrence, on rank {min(both)}: {first.fault} and {second.fault}")
        for fault in self.faults:
            if isinstance(fault.effect, (Raise, FailFuture)):
                zoo.check(fault.effect.error, load=True)
        return BoundPlan(self, bound, world_size, coordinator, protocol, parties)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data."""
        return [fault.to_json() for fault in self.faults]

    @classmethod
    def from_json(cls, data: str | Sequence[Mapping[str, Any]]) -> FaultPlan:
        """Reads what :meth:`to_json` gave, or its JSON text.

        Raises:
            PlanError: not JSON, or not a plan.
        """
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:  # numbers too long and brackets too deep are no JSONDecodeError
                raise PlanError(f"not JSON: {error}: {str(data)[:80]!r}") from error
        if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
            raise PlanError(f"a plan in JSON is a list of faults, not {reprlib.repr(data)}")
        return cls(tuple(Fault.from_json(fault) for fault in data))  # type: ignore[arg-type]  # each is checked there

    def readdressed(self, kind: OperationKind, other: OperationKind) -> FaultPlan:
        """The plan with the faults of operations of one kind addressed to those of another."""
        faults = [(fault, fault.operation) for fault in self.faults]
        return FaultPlan(
            tuple(replace(fault, operation=replace(at, kind=other)) if at is not None and at.kind == kind else fault for fault, at in faults)
        )

    @property
    def strikes_disk(self) -> bool:
        """Whether it names a disk site."""
        return any(fault.at.layer == "disk" for fault in self.faults)

    @property
    def strikes_network(self) -> bool:
        """Whether it names a site of HTTP requests."""
        return any(fault.at.layer == "network" for fault in self.faults)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    def __repr__(self) -> str:
        return f"FaultPlan.parse({str(self)!r})"

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)


def check_simulable(plan: FaultPlan) -> None:
    """Refuses a plan that only real processes can suffer.

    Raises:
        PlanError: with the effect and the choices.
    """
    for fault in plan:
        if fault.effect.needs_processes:
            here = ", ".join(kind.name for kind in SIMULABLE)
            raise PlanError(f"fault {fault}: {fault.effect.name} needs real processes (world 'processes'); effects of simulated ranks: {here}")


def check_survivable(plan: FaultPlan) -> None:
    """Refuses a plan that ends a rank, or stops it for good: one that a launcher started cannot be replaced.

    Raises:
        PlanError: with the effect and the choices.
    """
    for fault in plan:
        effect = fault.effect
        if isinstance(effect, (Kill, Exit)) or (isinstance(effect, Stop) and math.isinf(effect.seconds)):
            here = ", ".join(kind.name for kind in SIMULABLE if kind is not Kill)
            raise PlanError(f"{effect.name} ends a rank, and a launcher ends all ranks then; fault {fault}; effects of attached ranks: {here}, stop(SECONDS)")


def as_plan(plan: FaultPlan | str, *, side: str | None = None) -> FaultPlan:
    """A plan from what an API accepts: a plan, or its text."""
    return plan if isinstance(plan, FaultPlan) else FaultPlan.parse(plan, side=side)


@dataclass(frozen=True)
class BoundFault:
    """A fault with the ranks of a particular world."""

    fault: Fault
    ranks: frozenset[int]


@dataclass(frozen=True)
class BoundPlan:
    """A plan that was checked against a world.

    Attributes:
        plan: the plan.
        faults: its faults with their ranks.
        world_size: number of ranks.
        coordinator: the rank that coordinates, within its group.
        protocol: the engine's protocol.
        groups: who does the operation with whom.
    """

    plan: FaultPlan
    faults: tuple[BoundFault, ...]
    world_size: int
    coordinator: int
    protocol: Protocol
    groups: tuple[Group, ...]

    def __repr__(self) -> str:
        return f"{self.plan!r}.bind({self.world_size}, {self.coordinator})"

    def find(self, site: str, rank: int, operation: str, counts: Mapping[str, tuple[int, int]]) -> BoundFault | None:
        """The fault that strikes an occurrence, if any. There is at most one, since overlapping plans are refused.

        Args:
            site: full name.
            rank: who calls.
            operation: in which.
            counts: file pattern -> which call of those it describes this is, in the case and in the operation; "" describes all.
        """
        for bound in self.faults:
            fault = bound.fault
            if fault.site != site or rank not in bound.ranks:
                continue
            in_case, in_operation = counts.get(fault.glob or "", (0, 0))
            if fault.strikes(in_case) if fault.operation is None else fault.operation.matches(operation) and fault.strikes(in_operation):
                return bound
        return None

    def patterns(self, site: str, file: str) -> tuple[str, ...]:
        """The file patterns that describe a call and by which faults count; "" describes all."""
        globs = {one.fault.glob for one in self.faults if one.fault.site == site and one.fault.glob is not None}
        return ("", *sorted(glob for glob in globs if fnmatchcase(file, glob)))

    def sites(self, kind: OperationKind | None = None) -> frozenset[str]:
        """The sites that the plan names, of one kind of operation or of all."""
        return frozenset(bound.fault.site for bound in self.faults if kind is None or kind in bound.fault.at.operations)


def _share_a_rank(first: Fault, second: Fault) -> bool:
    """Whether it is certain, before binding, that both act on a common rank."""
    if isinstance(first.ranks, str) or isinstance(second.ranks, str):
        return first.ranks == second.ranks or (first.ranks == "all" or second.ranks == "all")
    return bool(set(first.ranks) & set(second.ranks))


def _check_coordinator_only(fault: Fault) -> None:
    if fault.at.callers == "coordinator" and (fault.ranks in ("all", "others") or (len(fault.ranks) > 1 and not isinstance(fault.ranks, str))):
        raise PlanError(f"fault {fault}: {fault.site} is called by the coordinator alone; say {fault.site}@coordinator")


def _bound_ranks(fault: Fault, world_size: int, groups: tuple[Group, ...], protocol: Protocol) -> frozenset[int]:
    everyone = frozenset(rank for group in groups for rank in group.ranks)
    coordinators = frozenset(group.coordinator for group in groups)
    ranks = {
        "all": everyone,
        "coordinator": coordinators,
        "others": everyone - coordinators,
    }.get(str(fault.ranks), frozenset(rank for rank in fault.ranks if isinstance(rank, int)))
    if not ranks <= frozenset(range(world_size)):
        raise PlanError(f"fault {fault}: rank {max(ranks)} is outside a world of {world_size}; valid: 0 to {world_size - 1}")
    if not ranks <= everyone:
        raise PlanError(f"fault {fault}: rank {min(ranks - everyone)} takes no part in the operation; valid: {_told(everyone)}")
    if not ranks:
        raise PlanError(f"fault {fault} strikes nobody: a world of {world_size} has no ranks but the coordinator{'s' * (len(groups) > 1)}")
    if fault.at.callers == "coordinator" and protocol.collectives and not ranks <= coordinators:
        whom = f"coordinator (rank {_told(coordinators)})" if len(coordinators) == 1 else f"coordinators (ranks {_told(coordinators)})"
        raise PlanError(f"fault {fault}: {fault.site} is called by the {whom} alone, not by rank {_told(ranks - coordinators)}")
    return ranks


def _told(ranks: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(ranks)))
