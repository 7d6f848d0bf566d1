"""Reports: what a campaign amounts to, on records written by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ckpt_harness.campaigns.fault_space import Cell, Coverage
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import SCHEMA, Record
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.summary import Summary, distinct
from ckpt_harness.report.terminal import show


def _record(
    plan: str, verdict: Verdict = Verdict.HOLDS, known: tuple[str, ...] = (), covered: tuple[str, ...] = (), **case: object
) -> Record:
    complaints = () if verdict is Verdict.HOLDS else (f"bounded {verdict.name}: rank 1 hung",)
    made = replace(Case(FaultPlan.parse(plan)), **case)  # type: ignore[arg-type]  # fields of Case
    return Record(made, verdict, "fails", ("raised", "raised"), complaints, known, covered or known, 0.01)


def _summary(*records: Record, coverage: Coverage | None = None) -> Summary:
    summary = Summary(Register.shipped(), coverage)
    for record in records:
        summary.add(record)
    return summary


def _shown(summary: Summary) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115  (rich closes nothing, and needs a file)
    with console.file:
        show(console, summary, ("save", "load"), 1.0)
        return console.export_text()


GOOD, LOUD = _record("writer.write_data@1=raise"), _record("writer.reset@1=raise", Verdict.VIOLATED)


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ((), 0),
        ((GOOD,), 0),
        ((GOOD, _record("writer.reset@0=raise", known=("DCP-004",))), 0),
        ((GOOD, LOUD), 1),
        ((GOOD, _record("writer.write_data@1=raise", Verdict.VACUOUS)), 3),
        ((GOOD, _record("writer.write_data@1=raise", Verdict.UNKNOWN)), 3),
        ((LOUD, _record("writer.write_data@1=raise", Verdict.UNKNOWN)), 1),
    ],
)
def test_the_exit_status_is_that_of_the_worst(records: tuple[Record, ...], status: int) -> None:
    """0 all hold or are known, 1 violated, 3 vacuous or unknown."""
    assert _summary(*records).exit_status() == status


def test_a_finding_that_is_gone_fails_where_it_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Covered by the run and not shown: fixed, perhaps; on another version that is only said."""
    summary = _summary(_record("writer.reset@0=raise", covered=("DCP-004",)))
    assert summary.gone() == ["DCP-004"]
    monkeypatch.setattr(Register, "recorded_here", lambda self, name: True)
    assert summary.exit_status() == 1
    assert "fixed?" in _shown(summary)
    monkeypatch.setattr(Register, "recorded_here", lambda self, name: False)
    assert summary.exit_status() == 0
    assert "on another version" in _shown(summary)


def test_a_finding_that_showed_once_is_not_gone() -> None:
    """However many cases cover it."""
    assert _summary(_record("writer.reset@0=raise", known=("DCP-004",)), _record("writer.reset@1=raise", covered=("DCP-004",))).gone() == []


def test_the_worst_and_simplest_comes_first() -> None:
    """Of what counts against the run."""
    vacuous, long = (
        _record("writer.reset@1=raise", Verdict.VACUOUS),
        _record("writer.reset@0=raise; writer.reset@1=raise", Verdict.VIOLATED),
    )
    wide = replace(LOUD, case=replace(LOUD.case, ranks=4))
    assert _summary(vacuous, long, wide, GOOD, LOUD).bad() == [LOUD, wide, long, vacuous]


def test_the_same_way_to_go_wrong_is_told_once() -> None:
    """Whatever the rank and the effect; another site is another way."""
    again = replace(LOUD, case=replace(LOUD.case, plan=FaultPlan.parse("writer.reset@0=raise")))
    hang = replace(LOUD, case=replace(LOUD.case, plan=FaultPlan.parse("writer.reset@1=hang")))
    elsewhere = replace(LOUD, case=replace(LOUD.case, plan=FaultPlan.parse("writer.finish@0=raise")))
    assert distinct([LOUD, again, hang, elsewhere]) == [(LOUD, 3), (elsewhere, 1)]


def test_coverage_counts_the_cells_that_failed() -> None:
    """A fault that never fired covers nothing."""
    ground = Case()
    cells = {(ground, Cell("writer.write_data", rank, 1)) for rank in range(2)}
    summary = _summary(GOOD, _record("writer.write_data@0=raise", Verdict.VACUOUS), coverage=Coverage(cells))
    assert summary.coverage is not None
    assert summary.coverage.hit & cells == {(ground, Cell("writer.write_data", 1, 1))}
    assert "coverage: 1 of 2 reachable cells" in _shown(summary)


def test_the_report_says_it_all() -> None:
    """A matrix by phase, a legend, totals, known findings and what counts, each with the line that replays it."""
    text = _shown(
        _summary(GOOD, _record("reader.read_data@0=raise", operation="load"), _record("writer.reset@0=raise", known=("DCP-004",)), LOUD)
    )
    assert "save: who learned what" in text
    assert "load: who learned what" in text
    assert re.search(r"setup +writer\.reset +k +X", text)
    assert "4 cases in 1.0 s: 1 violated, 3 hold (1 of them with a known finding)" in text
    assert "DCP-004" in text
    assert "VIOLATED writer.reset@1=raise" in text
    assert "bounded VIOLATED: rank 1 hung" in text
    assert text.count("ckpt-harness replay writer.reset@1=raise --op save --ranks 2") == 1


def test_a_record_is_one_json_line() -> None:
    """Plain data with its version, the case in words, and the line that replays it."""
    line = json.loads(json.dumps(LOUD.to_json()))
    assert line["schema"] == SCHEMA
    assert line["case"] == {
        "plan": "writer.reset@1=raise", "operation": "save", "ranks": 2, "coordinator": 0, "engine": "filesystem",
        "workload": "mixed", "seed": 0, "way": "together", "retry": True, "world": "simulated",
        "planner": "default", "executor": "thread", "staging": "writer", "overlap": "none",
        "onto": "nothing", "watch_disk": False, "watch_network": False,
    }  # fmt: skip
    assert line["verdict"] == "VIOLATED"
    assert line["outcomes"] == ["raised", "raised"]
    assert line["complaints"] == ["bounded VIOLATED: rank 1 hung"]
    assert line["replay"] == LOUD.case.replay_line()
    assert set(line) == {"schema", "case", "verdict", "expected", "outcomes", "complaints", "known", "covered", "seconds", "printed", "replay"}


def test_the_order_in_which_records_come_does_not_change_the_report() -> None:
    """With several workers the order differs from run to run; the replay lines that are shown do not."""
    records = [
        *(_record(f"writer.reset@{rank}=raise", known=("DCP-004",)) for rank in (0, 1)),
        *(_record(f"{side}.checkpoint_id@0=raise", Verdict.VIOLATED, operation=kind) for side, kind in (("writer", "save"), ("reader", "load"))),
        *(_record("state.state_dict@0=raise", Verdict.VIOLATED, operation=kind) for kind in ("save", "load")),
        *(_record("state.state_dict@0=raise", known=("DCP-006",), operation=kind) for kind in ("save", "load")),
    ]
    assert _shown(_summary(*records)) == _shown(_summary(*reversed(records)))
