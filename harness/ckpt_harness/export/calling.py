"""How a script calls the operation of a case: with which storage, planner and stager, and in which group."""

from __future__ import annotations

from ckpt_harness.cases.case import Case
from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.export.faults import IN_BACKGROUND, PLACE_OF_SAVE, STAGERS, Faults
from ckpt_harness.faults.effects import Delay

ENGINES = {"filesystem": "", "filesystem-threads": ", thread_count=4", "filesystem-no-collectives": "", "async-thread": "", "async-process": ""}
"""Engine -> the arguments of a script's writer beside the place. The settled case says how the engine is called."""
_WAYS = ("together", "alone", "no_collectives")
_KNOWN = frozenset("plan operation ranks coordinator engine workload seed way retry world staging planner executor overlap".split())
"""The fields of a case that a script can express, or can leave out."""
_PLACE = 'f"{place}/checkpoint"'
_OF_TWO = ("way", "staging", "executor")
"""Fields that must have their default where two saves are under way at once."""


_PLANNERS = {"default": "", "plan-caching": "enable_plan_caching=True"}
"""Kind of planner -> the arguments of the save planner."""
_BY_PROCESS = ", async_checkpointer_type=dcp.state_dict_saver.AsyncCheckpointerType.PROCESS"


def check(case: Case) -> None:
    """Refuses a case whose call no script can express.

    Raises:
        UsageError: with the value, and the choices.
    """
    defaults = Case()
    for name, value in vars(case).items():
        if name not in _KNOWN and value != getattr(defaults, name):
            raise UsageError(f"{name}={value!r} cannot be exported yet; valid: {getattr(defaults, name)!r}")
    if case.way not in _WAYS:
        raise UsageError(f"way {quoted(case.way)} cannot be exported yet; valid: {', '.join(_WAYS)}")
    if case.planner not in _PLANNERS:
        raise UsageError(f"planner {quoted(case.planner)} cannot be exported yet; valid: {', '.join(_PLANNERS)}")
    if case.engine not in ENGINES:
        why = "its store lives in one process" if case.engine == "fsspec-memory" else "stand-alone scripts know torch only"
        raise UsageError(f"engine {quoted(case.engine)} cannot be exported: {why}; engines: {', '.join(ENGINES)}")
    for fault in case.plan:
        if fault.effect.about_parts:
            raise UsageError(f"fault {fault} cannot be exported: the state of a script has no sharded tensor; valid: other effects")
    own = [str(fault) for fault in case.plan if fault.at.side == "writer"] or [f"engine={quoted(case.engine)}"] * bool(ENGINES[case.engine])
    if case.staging == "engine" and own:  # the engine uses any writer as its stager, if the writer can be one
        raise UsageError(f"{own[0]} with staging 'engine' cannot be exported: a script's own writer is its own stager; valid: staging 'writer'")
    if case.overlap != "none":
        _check_two(case)


def _check_two(case: Case) -> None:
    """Refuses two saves at once, unless both must succeed: a script can claim nothing else."""
    with_it = f"with overlap {quoted(case.overlap)}"
    if case.overlap != "shared":
        raise UsageError(f"overlap {quoted(case.overlap)} cannot be exported yet; valid: none, shared")
    for name in _OF_TWO:
        if getattr(case, name) != getattr(Case, name):
            raise UsageError(f"{name} {getattr(case, name)!r} {with_it} cannot be exported yet; valid: {getattr(Case, name)!r}")
    for fault in case.plan:
        if not isinstance(fault.effect, Delay):
            raise UsageError(f"fault {fault} {with_it} cannot be exported: if a save fails, chance decides what either save reports; valid: delay")
        if fault.at.side != "writer" or fault.operation is None or fault.operation.index is None:
            valid = "faults of one save's writer, such as async_save[1]/writer.storage_meta@1=delay"
            raise UsageError(f"fault {fault} {with_it} cannot be exported: a script tells two saves apart by their writers; valid: {valid}")


def _place(case: Case) -> str:
    return _PLACE if case.overlap == "none" else f'f"{{place}}/{PLACE_OF_SAVE}"'


def grouped(case: Case) -> bool:
    """Whether there is a process group."""
    return case.way != "alone"


def markers(case: Case) -> list[str]:
    """The commit markers of a save: one for all ranks or, without collectives, one of each rank."""
    return [".metadata"] if case.call_style.use_collectives else [f"__{rank}.metadata" for rank in range(case.ranks)]


def saved_before(case: Case, state: str) -> str:
    """The save that makes the checkpoint which is then loaded."""
    return f"dcp.save({state}, checkpoint_id={_PLACE}{_joined(case)})"


def _joined(case: Case) -> str:
    return "" if case.call_style.use_collectives else ", use_collectives=False"


def storage(case: Case, faults: Faults) -> str:
    """The reader or writer."""
    loads = case.operation == "load"
    kind = "Reader" if loads else "Writer"
    return f"{kind if faults.names(kind.lower()) else f'dcp.FileSystem{kind}'}({_place(case)}{'' if loads else ENGINES[case.engine]})"


def call(case: Case, faults: Faults, state: str) -> str:
    """The call of the operation. The storage is in a variable if there is a retry, since the retry uses the same object."""
    loads = case.operation == "load"
    kind = "reader" if loads else "writer"
    stored = "storage" if faults.again else storage(case, faults)
    planner = _planner(case, faults)
    if case.coordinator and grouped(case):
        return f"dcp.{'load' if loads else 'save'}_state_dict({state}, {stored}, coordinator_rank={case.coordinator}{planner})"
    given = f", storage_{kind}={stored}" * (faults.again or faults.names(kind) or bool(ENGINES[case.engine] and not loads))
    joined = "" if loads else _joined(case)
    by = _BY_PROCESS * (case.executor == "process")
    return f"dcp.{case.operation}({state}, checkpoint_id={_place(case)}{given}{planner}{joined}{_stager(case, faults)}{by})"


def _planner(case: Case, faults: Faults) -> str:
    options = "" if case.operation == "load" else _PLANNERS[case.planner]
    if faults.names("save_planner") or faults.names("load_planner"):
        return f", planner=Planner({options})"
    return f", planner=dcp.DefaultSavePlanner({options})" if options else ""


def _stager(case: Case, faults: Faults) -> str:
    if case.staging not in STAGERS:
        return ""
    if faults.names("stager"):
        return ", async_stager=Stager()"
    return f", async_stager={STAGERS[case.staging]}({IN_BACKGROUND if case.staging == 'background' else ''})"


def awaited(case: Case) -> str:
    """The call that waits for the result of an async save; "" for other operations."""
    if case.operation != "async_save":
        return ""
    return ".upload_completion.result()" if case.staging == "background" else ".result()"
