"""Which calls an operation of a job makes when nothing goes wrong: the model needs to know it for operations that faults may strike."""

from __future__ import annotations

import dataclasses

from ckpt_harness.cases.baseline import Baselines
from ckpt_harness.cases.case import Case, Onto, usual_world
from ckpt_harness.cases.run import fault_free_course
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.process_courses import course_on_processes
from ckpt_harness.judging.trace import Trace


class Courses:
    """The courses of saves without faults, each run once and remembered: on simulated ranks, where these can make the save.

    Args:
        workspace: where they run.
        baselines: the checkpoints that they find.
    """

    def __init__(self, workspace: Workspace, baselines: Baselines) -> None:
        self._workspace = workspace
        self._baselines = baselines
        self._traces: dict[tuple[Case, int | None], Trace] = {}

    def of(self, job: Job, call: BoundCall, onto: Onto = "nothing") -> Trace:
        """Returns the calls that a save makes; without a run, those of the protocol, if no fault may strike it.

        Args:
            job: the job.
            call: the save.
            onto: what it finds at its place.
        """
        bound = call.case
        if not bound.plan.faults:
            return Trace.nominal([call.call], bound.groups, bound.protocol)
        real = bound.case.executor == "process" or usual_world(bound.case.engine) == "processes"
        free = bound.without_faults()
        free = dataclasses.replace(free, case=dataclasses.replace(free.case, onto=onto, world="processes" if real else "simulated"))
        key = (free.case, free.shards)
        if key not in self._traces:
            run = self._on_processes(job, call, onto) if real else fault_free_course(free, self._workspace, self._baselines)
            self._traces[key] = run
        return renamed(self._traces[key], call.call)

    def _on_processes(self, job: Job, call: BoundCall, onto: Onto) -> Trace:
        engine = call.case.engine
        place = engine.place(self._workspace.root, "course")
        try:
            for _ in range(1 + (onto == "checkpoint")):
                trace = course_on_processes(job, call, place)
            return trace
        finally:
            engine.discard(place)


def renamed(trace: Trace, call: str) -> Trace:
    """Returns the trace of a single operation under another name."""
    return Trace(dict.fromkeys([call], next(iter(trace.moments.values()), {})))
