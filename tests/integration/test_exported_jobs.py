"""What a world saw of a job is what its script shows with plain torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from plain_torch import not_shown, show

from ckpt_harness.export import job_check
from ckpt_harness.export.job_script import write
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.rig import JobRig

pytestmark = pytest.mark.usefixtures("silence")

JOBS = [
    # a mixture of two saves; the same behind a restart on fewer ranks
    Job.parse("save a; save a; load a", faults="save[2]/writer.write_data@1=raise", workload="sharded"),
    Job.parse("save a; restart 1; save a", faults="save[2]/writer.finish@0=raise", workload="sharded"),
    # plan caching and another coordinator
    Job.parse("save a coordinator=1 planner=plan-caching; save a planner=plan-caching", workload="replicated"),
    # messages of two calls that meet: the order is that of simulated ranks
    Job.parse("async a; save b", seed=7, workload="replicated"),
    # what holds: async saves, changes, prune, another number of ranks, a killed rank
    Job.parse("save a; async b; wait; change shapes; save c; prune 2; restart 3; load latest; save d; load d"),
    Job.parse("save a; save b; restart; load latest", faults="save[2]/writer.prepare_local_plan@1=kill", ranks=3),
]


def test_scripts_of_jobs_show_what_simulated_ranks_saw(tmp_path: Path) -> None:
    """Each rank ends each operation alike, and each place holds the same; the exit status is 1 where that is not so."""
    scripts = {}
    with JobRig() as rig:
        for job in JOBS:
            bound = bind_job(job)
            job_check.check(bound)
            scripts[job.replay_line()] = write(bound, rig.run(bound), rig.register)
    mended = scripts[JOBS[0].replay_line()].replace("dist.get_rank() == 1", "dist.get_rank() == 7")
    shown = show({**scripts, "mended": mended}, tmp_path)

    status, said = shown.pop("mended")
    assert (status, said.splitlines()[-1]) == (1, "not as recorded")
    assert not_shown(shown, ["wrong: ", "the claims hold"]) == {}
    conclusions = [shown[job.replay_line()][1].splitlines()[-1].partition(":")[0] for job in JOBS]
    assert conclusions == ["wrong"] * 4 + ["the claims hold"] * 2
