"""Planted bugs that live between operations: of engines (``broken_between.py``) and of managers (``broken_managers.py``), each with a job that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from ckpt_harness.jobs.job import Job

_COMMIT_FAILS = "save[1]/writer.finish@0=raise"


@dataclass(frozen=True)
class EngineBug:
    """A bug of an engine, which a single operation does not show.

    Attributes:
        engine: the engine that has it, within ``broken_between.py``.
        caught_by: the oracles that must find it.
        operations: the operations of a job that shows it.
        faults: the faults of that job.
    """

    engine: str
    caught_by: tuple[str, ...]
    operations: str
    faults: str = ""

    def job(self, *, sound: bool = False) -> Job:
        """The job, on the engine with the bug or on a sound one."""
        return Job.parse(self.operations, faults=self.faults, engine="filesystem" if sound else f"broken_between:{self.engine}")


ENGINE_BUGS = (
    EngineBug("STALE", ("recovery",), "save a; heal; retry", _COMMIT_FAILS),
    EngineBug("COUNTING", ("commitment",), "save a; heal; retry", "save[1]/writer.write_data@1=raise"),
    EngineBug("LATCHED", ("recovery",), "save a; heal; save b", _COMMIT_FAILS),
    EngineBug("DEFERRING", ("agreement", "attribution"), "save a; save b", _COMMIT_FAILS),
    EngineBug("TIRED", ("recovery",), "save a; heal; save a", _COMMIT_FAILS),
    EngineBug("BEHIND", ("futures",), "async a; wait; async b; wait", "async_save[1]/writer.finish@0=raise"),
    EngineBug("HASTY", ("futures",), "async a; wait"),
    EngineBug("FORGETFUL", ("purity", "filled"), "save a; load a; save a; load a"),
    EngineBug("FORGETFUL", ("purity",), "save a; load a; save a; continue; load a", "save[2]/writer.finish@0!after=raise"),
    EngineBug("ONCE", ("filled",), "save a; load a; load a"),
    EngineBug("TOUCHING", ("pairing",), "save a; save b; load a"),
    EngineBug("TRUNCATING", ("metadata",), "save a; save b; load b; load b"),
    EngineBug("CONSUMING", ("commitment",), "save a; load a"),
    EngineBug("GROWING", ("retention",), "save a; save a; save a; save a"),
)


@dataclass(frozen=True)
class ManagerBug:
    """A bug of a manager of checkpoints.

    Attributes:
        manager: the class that has it, within ``broken_managers.py``.
        caught_by: the oracles that must find it.
        operations: the operations of a job that shows it; its places are steps.
        faults: the faults of that job.
    """

    manager: str
    caught_by: tuple[str, ...]
    operations: str
    faults: str = ""


_SECOND_FAILS = "save[2]/writer.write_data@1=raise"
_THREE_ROUNDS = "save step-1; save step-2; save step-3; prune 1; save step-4; save step-5; prune 1; save step-6; save step-7; prune 1"

MANAGER_BUGS = (
    ManagerBug("NewestDirectory", ("resume", "retention"), "save step-8; save step-9; restart; load latest", _SECOND_FAILS),
    ManagerBug("NewestByName", ("resume",), "save step-9; save step-10; load latest"),
    ManagerBug("EachRankForItself", ("resume",), "save step-8; load latest; save step-9; load latest"),
    ManagerBug("PointerFirst", ("resume", "retention"), "save step-8; save step-9; restart; load latest", _SECOND_FAILS),
    ManagerBug("FromMemory", ("resume", "retention"), "save step-8; save step-9; load latest", _SECOND_FAILS),
    ManagerBug("PartsApart", ("resume", "purity"), "save step-7; save step-8; save step-9; restart; load latest", "save[3]/writer.write_data@1=raise"),
    ManagerBug("PrunesFirst", ("retention",), "save step-8; save step-9; load latest", _SECOND_FAILS),
    ManagerBug("PrunesDirectories", ("retention",), "save step-8; save step-9; prune 1; load latest", _SECOND_FAILS),
    ManagerBug("PrunesByName", ("retention",), "save step-9; save step-10; prune 1"),
    ManagerBug("KeepsOneMore", ("retention",), "save step-8; save step-9; save step-10; prune 1"),
    ManagerBug("LeavesDebris", ("retention",), _THREE_ROUNDS, "; ".join(f"save[{number}]/writer.write_data@1=raise" for number in (2, 4, 6))),
    ManagerBug("PrunesAlone", ("agreement",), "save step-8; save step-9; prune 1"),
    ManagerBug("SkipsAfterFailure", ("recovery",), "save step-8; save step-9; save step-10; load latest", _SECOND_FAILS),
    ManagerBug("CountsSuccesses", ("metadata",), "save step-8; save step-9; save step-10; load step-10", _SECOND_FAILS),
    ManagerBug("WaitsForTheOneBefore", ("futures",), "async step-8; wait; heal"),
    ManagerBug("SwallowsFailures", ("futures",), "save step-8; async step-9; wait; load latest", "async_save[1]/writer.write_data@1=raise"),
    ManagerBug("FailsAgain", ("agreement", "recovery"), "save step-8; async step-9; wait; save step-10", "async_save[1]/writer.write_data@1=raise"),
)
