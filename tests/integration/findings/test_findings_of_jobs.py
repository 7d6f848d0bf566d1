"""Jobs that a search has found: each shows known findings, and nothing that counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.jobs.lines import job_of_line
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

FOUND = [
    # plan caching and another coordinator: the plans are gone, also after a failure; or they are those of another state
    ("'save a coordinator=1 planner=plan-caching; save a planner=plan-caching' --workload replicated", {"DCP-045"}),
    ("'save a planner=plan-caching; save a coordinator=1 planner=plan-caching' --faults 'save[1]/fs.write@0=diskerror' --workload replicated", {"DCP-045"}),
    (
        "'save a planner=plan-caching; change keys; save b coordinator=1 planner=plan-caching; save c planner=plan-caching' --workload replicated",
        {"DCP-045"},
    ),
    # plan caching and two saves at once, also with a process group of its own
    ("'async a planner=plan-caching; save b planner=plan-caching' --ranks 1 --workload replicated", {"DCP-046"}),
    ("'async a planner=plan-caching; async b planner=plan-caching group=own' --ranks 3 --workload replicated --seed 9", {"DCP-046"}),
    ("'save a planner=plan-caching; async a planner=plan-caching; change keys; save c planner=plan-caching' --ranks 1 --workload replicated", {"DCP-046"}),
    (
        "'save a planner=plan-caching; async a planner=plan-caching; change replicated; save c planner=plan-caching' --ranks 1 --workload tensors --seed 1",
        {"DCP-046"},
    ),
    # a second try that fails
    ("'save a planner=plan-caching; retry' --faults 'save[1]/writer.prepare_global_plan@0=raise' --workload replicated", {"DCP-014"}),
    # a mixture behind a restart on fewer ranks, and where nobody looked between two saves
    ("'save a; restart 1; save a' --faults 'save[2]/writer.finish@0=raise' --workload sharded", {"DCP-032"}),
    ("'save a; continue; retry' --faults 'save[2]/save_planner.finish_plan@0=raise' --workload sharded", {"DCP-032"}),
    (
        "'save a; save a; restart 2; save a' --faults 'save[2]/fs.write@0#2=hang?; save[3]/fs.exists@0#2!after=hang?' --ranks 3 --workload tensors",
        {"DCP-032"},
    ),
    # crossings: a mixture, a missing file, and what ranks that are out of step commit
    ("'save a; async a; save b' --workload sharded --seed 8", {"DCP-020", "DCP-042"}),
    ("'async a; async b; save c' --workload sharded --seed 5", {"DCP-020", "DCP-042"}),
    ("'save a; continue; save a' --faults 'save[1]/state.state_dict@1=raise'", {"DCP-006", "DCP-043"}),
    ("'save a; continue; save a' --faults 'save[1]/pg.scatter@1#2!after=raise'", {"DCP-043"}),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


@pytest.mark.parametrize(("line", "known"), FOUND, ids=[line for line, _ in FOUND])
def test_what_a_search_has_found_is_known(rig: JobRig, line: str, known: set[str]) -> None:
    """By these findings."""
    result = rig.run(job_of_line(f"ckpt-harness job {line}"))
    assert (result.verdict, set(result.known)) == (Verdict.HOLDS, known), result.complaints()
