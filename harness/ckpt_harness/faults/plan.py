"""Plans: validated, frozen sets of faults. What a plan means in a particular world is in :mod:`ckpt_harness.faults.bound_plan`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ckpt_harness.errors import PlanError, choices, quoted, summary, unknown
from ckpt_harness.faults.bound_plan import BoundPlan, bound_faults
from ckpt_harness.faults.collisions import Struck, find_collision
from ckpt_harness.faults.effects import SIMULABLE, Effect, Exit, FailFuture, Kill, Raise, Stop
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.protocol import DCP, Group, Protocol, groups_of
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.faults.text import faults_of

_SEE = "ckpt-harness effects"
"""The command that prints all effects."""


@dataclass(frozen=True)
class FaultPlan:
    """A set of faults as a value: hashable, printable, and equal to the plan that its text parses to.

    Attributes:
        faults: in the order in which they were written.

    Raises:
        PlanError: two faults may strike the same call, or a fault can never act.

    Example:
        >>> plan = FaultPlan.parse("write_data@2=raise(OSError:ENOSPC); finish@coordinator=hang")
        >>> str(plan)
        'writer.write_data@2=raise(OSError:ENOSPC); writer.finish@coordinator=hang'
        >>> FaultPlan.parse(str(plan)) == plan
        True
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        collision = find_collision(self.faults, [_certain_ranks(fault) for fault in self.faults])
        if collision is not None:
            first, second = self.faults[collision.first], self.faults[collision.second]
            raise PlanError(f"two faults may strike the same call: {first.label} and {second.label}")
        for fault in self.faults:
            _check_coordinator_only(fault)

    @classmethod
    def parse(cls, text: str, *, side: str | None = None) -> FaultPlan:
        """Reads a plan from its text.

        Args:
            text: faults joined by ``;``, each ``[operation[n]/]site[(glob)]@ranks[#nth[xTIMES]][!after]=effect(args)[?]``. A phase (``write``)
                means its principal site here; see :meth:`expand`.
            side: ``writer`` or ``reader`` inside a wrapper of that side, where the prefix may be left out.

        Raises:
            PlanError: wrong syntax, or an impossible fault; the message shows the value and the valid choices.

        Example:
            >>> [fault] = FaultPlan.parse("save[3]/write_data@0,2#2=raise(ValueError)")
            >>> fault.site, fault.ranks, fault.nth
            ('writer.write_data', (0, 2), 2)
        """
        if not isinstance(text, str):
            raise PlanError(f"plan {quoted(text)} has the type {type(text).__name__}; valid: text such as writer.write_data@2=raise")
        return cls(tuple(fault for faults in faults_of(text, side=side, every_site=False) for fault in faults))

    @classmethod
    def expand(cls, text: str, *, side: str | None = None) -> tuple[FaultPlan, ...]:
        """Reads a text in which a phase stands for each of its sites: one plan for each site.

        Raises:
            PlanError: as :meth:`parse`.

        Example:
            >>> [str(plan) for plan in FaultPlan.expand("save/write@0=raise")]
            ['save/writer.write_data@0=raise', 'save/writer.write_data.future@0=failfuture']
        """
        return tuple(cls(choice) for choice in itertools.product(*faults_of(text, side=side, every_site=True)))

    @classmethod
    def from_fail_conf(cls, conf: Mapping[str, Any], *, side: str) -> FaultPlan:
        """Reads a ``fail_conf`` dictionary of DCP's own failure tests, such as ``{"fail_write_data": [2]}``.

        As in those tests (``test/distributed/checkpoint/test_checkpoint.py``), the error is always a ``ValueError``, and ``_async`` after a name
        means the future that the method returned.

        Args:
            conf: ``fail_<method>`` or ``fail_<method>_async`` -> ranks. ``ignore_exception_type``, a switch of those tests, is accepted.
            side: ``writer`` or ``reader``, since both have the same keys.

        Raises:
            PlanError: an unknown side or key, or ranks that are no list of numbers.

        Example:
            >>> str(FaultPlan.from_fail_conf({"fail_write_data": [2]}, side="writer"))
            'writer.write_data@2#1x*=raise(ValueError)'
        """
        if side not in ("writer", "reader"):
            raise PlanError(unknown("side", side, ("writer", "reader")))
        keys = {f"fail_{site.method.removesuffix('.future')}{'_async' * site.is_future}": site for site in SITES.values() if site.side == side}
        faults = []
        for key, ranks in conf.items():
            if key == "ignore_exception_type":
                continue
            if key not in keys:
                raise PlanError(unknown(f"{side} key", key, [*keys, "ignore_exception_type"]))
            if isinstance(ranks, str) or not isinstance(ranks, Sequence) or not all(isinstance(rank, int) for rank in ranks):
                raise PlanError(f"{key}={quoted(ranks)}; valid: a list of ranks, such as [0, 2]")
            effect: Effect = FailFuture("wait", "ValueError") if keys[key].is_future else Raise("ValueError")
            if ranks:
                faults.append(Fault(keys[key].name, tuple(sorted(set(ranks))), effect, times=None))
        return cls(tuple(faults))

    def bind(self, world_size: int, coordinator: int = 0, protocol: Protocol = DCP, groups: tuple[Group, ...] | None = None) -> BoundPlan:
        """Checks the plan against a world, before anything runs.

        Args:
            world_size: number of ranks.
            coordinator: the rank that coordinates, within its group.
            protocol: the protocol of the engine under test.
            groups: the ranks that do an operation together. Default: :func:`ckpt_harness.faults.protocol.groups_of`.

        Raises:
            PlanError: a rank outside the world or of no group, a site of the coordinator on another rank, a fault that strikes no rank, two faults
                on the same call, or an error type that cannot be imported.

        Example:
            >>> bound = FaultPlan.parse("write_data@others=raise").bind(3)
            >>> sorted(bound.faults[0].ranks)
            [1, 2]
        """
        if world_size < 1:
            raise PlanError(f"a world of {world_size} ranks; valid: 1 or more")
        if not 0 <= coordinator < world_size:
            raise PlanError(f"coordinator {coordinator} is outside a world of {world_size}; valid: 0 to {world_size - 1}")
        parties = groups_of(world_size, coordinator, protocol) if groups is None else groups
        faults = bound_faults(self.faults, world_size, parties, protocol)
        return BoundPlan(self, faults, world_size, coordinator, protocol, parties)

    def to_json(self) -> list[dict[str, Any]]:
        """The plan as plain data."""
        return [fault.to_json() for fault in self.faults]

    @classmethod
    def from_json(cls, data: str | Sequence[Mapping[str, Any]]) -> FaultPlan:
        """Makes a plan from the data that :meth:`to_json` returned, or from the data's JSON text.

        Raises:
            PlanError: not JSON, or not a plan.

        Example:
            >>> plan = FaultPlan.parse("writer.finish@coordinator=raise")
            >>> FaultPlan.from_json(plan.to_json()) == plan
            True
        """
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:  # numbers that are too long and brackets that are too deep raise no JSONDecodeError
                raise PlanError(f"plan {quoted(data)} is not JSON: {summary(error)}") from error
        if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
            raise PlanError(f"plan {quoted(data)} in JSON; valid: a list of faults")
        return cls(tuple(Fault.from_json(fault) for fault in data))  # type: ignore[arg-type]  # each is checked there

    def readdressed(self, kind: OperationKind, other: OperationKind) -> FaultPlan:
        """The plan with faults that were addressed to operations of one kind addressed to operations of another kind.

        Example:
            >>> str(FaultPlan.parse("save[2]/finish@0=raise").readdressed("save", "async_save"))
            'async_save[2]/writer.finish@0=raise'
        """
        def moved(fault: Fault) -> Fault:
            if fault.operation is None or fault.operation.kind != kind:
                return fault
            return replace(fault, operation=replace(fault.operation, kind=other))

        return FaultPlan(tuple(map(moved, self.faults)))

    @property
    def strikes_disk(self) -> bool:
        """Whether a fault strikes a disk site."""
        return any(fault.at.layer == "disk" for fault in self.faults)

    @property
    def strikes_network(self) -> bool:
        """Whether a fault strikes HTTP requests."""
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
    """Refuses a plan with effects that need real processes.

    Raises:
        PlanError: the message shows the effect and the valid choices.
    """
    for fault in plan:
        if fault.effect.needs_processes:
            valid = choices((kind.name for kind in SIMULABLE), see=_SEE)
            raise PlanError(f"{fault.label}: {fault.effect.name} needs real processes (world 'processes'); {valid}")


def check_survivable(plan: FaultPlan) -> None:
    """Refuses a plan that ends a rank, or stops it for good: a rank that a launcher started cannot be replaced.

    Raises:
        PlanError: the message shows the effect and the valid choices.
    """
    for fault in plan:
        effect = fault.effect
        if isinstance(effect, (Kill, Exit)) or (isinstance(effect, Stop) and math.isinf(effect.seconds)):
            valid = f"raise, delay, hang, ..., stop(SECONDS); all: `{_SEE}`"
            raise PlanError(f"{effect.name} ends a rank, and a launcher ends all ranks then; {fault.label}; valid: {valid}")


def as_plan(plan: FaultPlan | str, *, side: str | None = None) -> FaultPlan:
    """The plan that an argument stands for: a plan, or its text.

    Raises:
        PlanError: as :meth:`FaultPlan.parse`.
    """
    return plan if isinstance(plan, FaultPlan) else FaultPlan.parse(plan, side=side)


def _certain_ranks(fault: Fault) -> Struck:
    """The ranks that a fault strikes in every world, as far as they are certain before binding: a word shares ranks with itself and with ``all``."""
    return (fault.ranks,) if fault.ranks in ("coordinator", "others") else fault.ranks


def _check_coordinator_only(fault: Fault) -> None:
    if fault.at.callers == "coordinator" and (fault.ranks in ("all", "others") or (len(fault.ranks) > 1 and not isinstance(fault.ranks, str))):
        raise PlanError(f"{fault.label}: only the coordinator calls {fault.site}; valid: {fault.site}@coordinator")
