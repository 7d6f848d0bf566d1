"""The search: what comes next, what is shrunk, what is remembered, and how it ends. Jobs are not run here: a rule says which of them fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ckpt_harness.campaigns.fuzz.corpus import HEALED, Corpus, Remembered
from ckpt_harness.campaigns.fuzz.found import TRIES, Found
from ckpt_harness.campaigns.fuzz.search import Limits, Search, Tally
from ckpt_harness.campaigns.fuzz.work import Result, Run, Task, done
from ckpt_harness.jobs.coverage import steps
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import Broken, JobRecord
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.fuzz import failures, progress_text, tried
from ckpt_harness.strategies.job_menu import JobMenu

MENU = JobMenu(max_operations=12, max_faults=3, sites=("writer.finish", "reader.read_data"))


@dataclass
class Pretended:
    """Work that runs no job."""

    run: Run
    budget: int = 300
    few: int = 4
    tasks: list[Task] = field(default_factory=list)

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[Task], Result]]:
        def do(task: Task) -> Result:
            self.tasks.append(task)
            return done(task, self.run, self.budget)

        yield do

    def lost(self, task: Task, how: str) -> Result:
        raise AssertionError("no process does this work")


def _record(job: Job, *broken: str, known: tuple[str, ...] = ()) -> JobRecord:
    fired = tuple(str(fault) for fault in job.faults)
    return JobRecord(job, Verdict.VIOLATED if broken else Verdict.HOLDS, tuple(map(Broken, broken)), known, fired)


def _holds(job: Job) -> JobRecord:
    return _record(job)


def _overwrites_break_pairing(job: Job) -> JobRecord:
    """A bug: a save onto a place whose last save had failed at its end."""
    names = steps(job)
    struck = {str(fault.operation) for fault in job.faults if fault.site == "writer.finish"}
    bad = any(names[index + 1] == "overwrite" and job.calls[index] in struck for index in range(len(names) - 1))
    return _record(job, *["pairing"] * bad)


def test_a_bug_is_found_shrunk_and_remembered(tmp_path: Path) -> None:
    """One way to fail, however many jobs show it; the corpus has the shortest job."""
    corpus = Corpus(tmp_path)
    search = Search(MENU, 0, Limits(examples=400), corpus)
    search.run(Pretended(_overwrites_break_pairing))
    assert search.tally.drawn == 400
    lines = {failure.record.job.replay_line() for failure in search.found.failures}
    assert "ckpt-harness job 'save a; save a' --faults 'save[1]/writer.finish@0=raise' --ranks 1 --workload replicated" in lines
    assert len(lines) <= 4  # some have another operation in between, and cannot be shrunk further step by step
    assert {remembered.job.replay_line() for remembered in corpus} == lines
    assert search.tally.verdicts[Verdict.VIOLATED] == sum(failure.times for failure in search.found.failures) + _not_shrunk(search)


def _not_shrunk(search: Search) -> int:
    """Jobs that break the same claims at the same sites as several before, and were not shrunk any more."""
    return sum(max(0, times - TRIES) for times in search.found._alike.values())


def test_what_failed_before_is_run_first(tmp_path: Path) -> None:
    """The corpus comes before new jobs. What still fails counts, and is not shrunk again."""
    job = Job.parse("save a; save a", faults="save[1]/writer.finish@0=raise")
    corpus = Corpus(tmp_path)
    corpus.add(Remembered(job, ("pairing",), "long ago"))
    work = Pretended(_overwrites_break_pairing)
    search = Search(MENU, 0, Limits(examples=3), corpus)
    search.run(work)
    assert [task.origin for task in work.tasks[:2]] == ["corpus", "drawn"]
    assert (search.tally.replayed, search.tally.healed) == (1, 0)
    [failure, *_] = search.found.failures
    assert (failure.record.job, failure.old, failure.runs) == (job, True, 0)
    assert [remembered.first_seen for remembered in corpus] == ["long ago"]


def test_what_holds_again_is_put_aside(tmp_path: Path) -> None:
    """The corpus heals itself."""
    corpus = Corpus(tmp_path)
    corpus.add(Remembered(Job.parse("save a"), ("pairing",)))
    search = Search(MENU, 0, Limits(examples=2), corpus)
    search.run(Pretended(_holds))
    assert (search.tally.replayed, search.tally.healed, search.found.failures) == (1, 1, [])
    assert [path.parent.name for path in tmp_path.rglob("*.job")] == [HEALED]


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.VACUOUS])
def test_what_shows_nothing_stays_in_the_corpus(tmp_path: Path, verdict: Verdict) -> None:
    """A job whose faults no longer fire, or that could not be judged, has not healed."""
    corpus = Corpus(tmp_path)
    corpus.add(Remembered(Job.parse("save a"), ("pairing",)))
    Search(MENU, 0, Limits(examples=2), corpus).run(Pretended(lambda job: JobRecord(job, verdict)))
    assert len(list(corpus)) == 1


def test_known_findings_are_counted_and_not_shrunk() -> None:
    """The simplest job that showed a finding stands for it."""
    work = Pretended(lambda job: _record(job, known=("DCP-001",) if "load" in steps(job) else ()))
    search = Search(MENU, 0, Limits(examples=100))
    search.run(work)
    assert all(task.target is None for task in work.tasks)
    showing = [task.job for task in work.tasks if "load" in steps(task.job)]
    assert search.found.shown == {"DCP-001": len(showing)}
    assert len(search.found.known["DCP-001"].operations) == min(len(job.operations) for job in showing)


def test_two_bugs_are_told_apart() -> None:
    """Different oracles, or the same oracle after other operations."""

    def run(job: Job) -> JobRecord:
        names = steps(job)
        found = ["resume"] * ("prune" in names) + ["pairing"] * (names.count("restart") > 1) + ["pairing"] * ("change" in names)
        return _record(job, *found)

    search = Search(MENU, 0, Limits(examples=300))
    search.run(Pretended(run))
    shrunk = {(failure.record.claims, steps(failure.record.job)[-1]) for failure in search.found.failures}
    assert {(("resume",), "prune"), (("pairing",), "restart"), (("pairing",), "change")} <= shrunk
    assert all(len(failure.record.job.operations) <= 2 for failure in search.found.failures)


def test_a_failure_that_does_not_come_again_has_no_verdict() -> None:
    """A job that fails once and then holds is reported as not deterministic."""
    runs: list[Job] = []

    def run(job: Job) -> JobRecord:
        runs.append(job)
        return _record(job, *["pairing"] * (len(runs) == 5))

    search = Search(MENU, 0, Limits(examples=10))
    search.run(Pretended(run))
    [failure] = search.found.failures
    assert failure.record.claims == ("determinism (UNKNOWN)",)
    assert failure.record.verdict is Verdict.UNKNOWN


def test_a_search_ends_in_time() -> None:
    """No job is begun after the time; what failed last is still shrunk."""
    now = 0.0

    def run(job: Job) -> JobRecord:
        nonlocal now
        now += 1.0
        return _record(job, "pairing")

    search = Search(MENU, 0, Limits(seconds=1.5), clock=lambda: now)
    work = Pretended(run, budget=5)
    search.run(work)
    assert sum(task.target is None for task in work.tasks) <= 2
    assert all(failure.runs for failure in search.found.failures)


def test_an_interruption_keeps_what_was_found(tmp_path: Path) -> None:
    """What failed and was not shrunk yet is reported, and remembered, as it is."""
    search = Search(MENU, 0, Limits(), Corpus(tmp_path))

    def progress(tally: Tally, found: Found) -> None:
        if tally.verdicts[Verdict.VIOLATED]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run(Pretended(_overwrites_break_pairing), progress=progress)
    [failure] = search.found.failures
    assert failure.runs == 0
    assert [remembered.job for remembered in Corpus(tmp_path)] == [failure.record.job]


def test_only_faults_that_fired_count_as_tried() -> None:
    """The coverage of a search in which no fault fires has pairs without faults only."""
    search = Search(MENU, 0, Limits(examples=50))
    search.run(Pretended(lambda job: JobRecord(job, Verdict.VACUOUS)))
    assert {pair.fault for pair in search.tally.coverage.tried} == {"none"}


def test_a_failure_is_shown_as_a_program() -> None:
    """With the claims, the evidence, and the replay line."""
    search = Search(MENU, 0, Limits(examples=300))
    search.run(Pretended(_overwrites_break_pairing))
    shown = [str(line) for line in failures(search.found)]
    assert shown[1].startswith("VIOLATED pairing (shrunk in ")
    assert '        dcp.save(state, checkpoint_id="a")                             # save[1]' in shown
    assert "            # on rank 0, writer.finish: raise" in shown
    assert any(line.startswith("    ckpt-harness job 'save a; save a' --faults") for line in shown)
    assert "300 jobs" in progress_text(search.tally, search.found)
    assert tried(search.tally.coverage).row_count == len(MENU.steps)
