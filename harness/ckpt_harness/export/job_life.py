"""A life of a job as a function of a script: what each of its ranks does, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckpt_harness.engines.dcp import PLANNERS
from ckpt_harness.export.calling import ENGINES
from ckpt_harness.export.faults import IN_BACKGROUND, STAGERS, Faults
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.operations import ALL, LATEST, AsyncSave, Prune, Renew, Restart, Wait
from ckpt_harness.jobs.varied import Structure

_INDENT = "    "


class LifeFunction:
    """Writes the function of one life.

    Args:
        bound: the job.
        life: the life.
        faults: the faults of the script.
    """

    def __init__(self, bound: BoundJob, life: Life, faults: Faults) -> None:
        self._bound, self._life, self._faults = bound, life, faults
        self._kept: set[tuple[str, str]] = set()
        self._under_way: list[BoundCall] = []

    def lines(self) -> Iterator[str]:
        """The lines of the function."""
        yield f"def life_{self._life.number}(rank, root, saw, meet):"
        yield from (f"{_INDENT}{line}" for line in self._body())

    def _body(self) -> Iterator[str]:
        life = self._life
        if life.way != "alone":
            yield f'dist.init_process_group("gloo", f"file://{{root}}/store_{life.number}", timedelta(seconds=60), {life.ranks}, rank)'
        for index in life.operations:
            operation = self._bound.job.repeated[index]
            if isinstance(operation, AsyncSave) and operation.group == "own" and life.way != "alone":
                yield f"group_{index + 1} = dist.new_group()"
        yield from self._faults.patches
        yield f"mine = range(rank, SHARDS, {life.ranks})"
        for index in life.operations:
            if not self._bound.job.goes_on_alone(index):
                yield "meet()"
            yield from self._operation(index)
        yield from self._wait("")
        yield "meet()"

    def _operation(self, index: int) -> Iterator[str]:
        operation, call = self._bound.job.repeated[index], self._bound.calls.get(index)
        if call is not None:
            yield from self._call(index, call)
        elif isinstance(operation, Wait):
            yield from self._wait(operation.place)
        elif isinstance(operation, Restart):
            yield from self._wait("")
        elif isinstance(operation, Prune):
            yield "if rank == 0:"
            yield f"{_INDENT}for old in committed(root, {self._places(index)})[:-{operation.keep}]:"
            yield f"{_INDENT * 2}shutil.rmtree(f\"{{root}}/{{old}}\")"
        elif isinstance(operation, Renew):
            self._kept = {(kind, name) for kind, name in self._kept if operation.what not in (kind, ALL)}

    def _places(self, index: int) -> str:
        """The places that the job has saved to before an operation and that no save is using, in the order in which they were saved last."""
        places: dict[str, None] = {}
        for other in range(index):
            call = self._bound.calls.get(other)
            if call is not None and call.case.saves:
                places.pop(call.operation.place, None)
                places[call.operation.place] = None
        busy = {call.operation.place for call in self._under_way}
        return repr([place for place in places if place not in busy]).replace("'", '"')

    # -- engine calls

    def _call(self, index: int, call: BoundCall) -> Iterator[str]:
        operation = call.operation
        saves = call.case.saves
        side = "writer" if saves else "reader"
        place = f"newest(root, {self._places(index)})" if operation.place == LATEST else f'f"{{root}}/{operation.place}"'
        coordinator = 0 if isinstance(operation, AsyncSave) else operation.coordinator
        options = []
        if coordinator or self._faults.names(side) or (saves and ENGINES[call.life.engine]):
            name = f"{side}_{_identifier(operation.place)}"
            made = "Writer" if saves else "Reader"
            made = made if self._faults.names(side) else f"dcp.FileSystem{made}"
            if operation.place == LATEST:
                self._kept.discard((side, name))  # the latest may be another place by now
            yield from self._keep(side, name, f"{made}({place}{ENGINES[call.life.engine] if saves else ''})", call if self._faults.names(side) else None)
            options.append(name if coordinator else f"storage_{side}={name}")
        if coordinator:
            options.append(f"coordinator_rank={coordinator}")
        yield from self._planner(call, options)
        if isinstance(operation, AsyncSave):
            yield from self._in_background(index, operation, options)
        if self._faults.notes_operations:
            yield f'DOING[0] = "{call.call}"'
        yield from self._statement(call, place, options, coordinator)

    def _statement(self, call: BoundCall, place: str, options: list[str], coordinator: int) -> Iterator[str]:
        where = [] if coordinator else [f"checkpoint_id={place}"]
        function = f"dcp.{call.case.case.operation}{'_state_dict' * bool(coordinator)}"
        if not call.case.saves:
            yield f'found = state("nothing", mine{arguments(call.structure)})'
            yield f'saw["{call.call}", rank] = ended(lambda: {function}({", ".join(["found", *where, *options])}), found)'
            return
        given = ", ".join([f'state("{call.call}", mine{arguments(call.structure)})', *where, *options])
        if isinstance(call.operation, AsyncSave):
            yield f"{_upload(call)} = begun(lambda: {function}({given}))"
            self._under_way.append(call)
        else:
            yield f'saw["{call.call}", rank] = ended(lambda: {function}({given}))'

    def _planner(self, call: BoundCall, options: list[str]) -> Iterator[str]:
        """The statement that makes a planner, if the call needs any; and its argument."""
        saves = call.case.saves
        kind, side = call.operation.planner, "save_planner" if saves else "load_planner"
        given = PLANNERS[kind].save if saves else PLANNERS[kind].load
        if not given and not self._faults.names(side):
            return
        made = "Planner" if self._faults.names(side) else f"dcp.Default{'Save' if saves else 'Load'}Planner"
        name = f"{'async_' * isinstance(call.operation, AsyncSave)}{side}_{_identifier(kind)}"
        if self._under_way:
            self._kept.discard(("planner", name))  # an async save that is under way may use it
        text = ", ".join(f"{option}={value}" for option, value in given.items())
        yield from self._keep("planner", name, f"{made}({text})", call if self._faults.names(side) else None)
        options.append(f"planner={name}")

    def _in_background(self, index: int, operation: AsyncSave, options: list[str]) -> Iterator[str]:
        """The arguments that only an async save has."""
        if operation.group == "own" and self._life.way != "alone":
            options.append(f"process_group=group_{index + 1}")
        if operation.staging in STAGERS:
            name = f"stager_{operation.staging}"
            if self._under_way:
                self._kept.discard(("stager", name))
            given = IN_BACKGROUND if operation.staging == "background" else ""
            yield from self._keep("stager", name, f"{STAGERS[operation.staging]}({given})", None)
            options.append(f"async_stager={name}")

    def _keep(self, kind: str, name: str, made: str, user: BoundCall | None) -> Iterator[str]:
        """The statement that makes an object which the ranks keep, unless they have it; and that which notes who uses it."""
        if (kind, name) not in self._kept:
            self._kept.add((kind, name))
            yield f"{name} = {made}"
        if user is not None:
            yield f'{name}.call = "{user.call}"'

    def _wait(self, place: str) -> Iterator[str]:
        """Waits for async saves that are under way: those to a place, or all."""
        waited = [call for call in self._under_way if place in ("", call.operation.place)]
        self._under_way = [call for call in self._under_way if call not in waited]
        for call in waited:
            yield f'saw["{call.call}", rank] = ended({_upload(call)}.result)'


def arguments(structure: Structure) -> str:
    """The arguments of ``state`` for a structure that was changed.

    Example:
        >>> arguments(Structure("mixed", keys=1, shapes=2))
        ', key="weight 1", size=8'
    """
    keys = f', key="weight {structure.keys}"' * bool(structure.keys)
    shapes = f", size={4 + 2 * structure.shapes}" * bool(structure.shapes)
    return f"{keys}{shapes}{', dtype=torch.float64' * (structure.dtype % 2)}"


def _upload(call: BoundCall) -> str:
    return f"upload_{call.number}"


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)
