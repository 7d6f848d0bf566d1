"""Jobs as values: the text of operations, what is refused, numbers of calls, lives, and the replay line."""

from __future__ import annotations

import dataclasses
import pickle
import shlex
from pathlib import Path

import pytest
from drawn import DRAWN
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness.errors import HarnessError, PlanError, UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import OPERATIONS, Load, Operation, Restart, Save
from ckpt_harness.jobs.text import operations_text, parse_operation, parse_operations


@given(st.lists(DRAWN))
def test_the_text_of_operations_parses_back(operations: list[Operation]) -> None:
    """Whatever the operations, and in whatever order."""
    assert parse_operations(operations_text(operations)) == tuple(operations)


@given(DRAWN)
def test_an_operation_is_a_value(operation: Operation) -> None:
    """Equal operations have equal hashes, and a pickled operation is equal."""
    again = pickle.loads(pickle.dumps(operation))
    assert again == operation
    assert hash(again) == hash(operation)


@given(st.text(max_size=40) | st.builds(" ".join, st.lists(st.sampled_from(["save", "load", "a", "latest", "ranks=1", "x=2", "=", "restart", "-1"]))))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    """No text leads to another error, or to a message that does not fit into a line."""
    message = ""
    try:
        parse_operations(text)
    except UsageError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("save a", Save("a")),
        ("save a coordinator=1 planner=caching", Save("a", coordinator=1, planner="caching")),
        ("load latest ranks=3 entries=part", Load("latest", ranks=3, entries="part")),
        ("  restart   3  way=no_dist ", Restart(3, way="no_dist")),
        ("restart", Restart()),
    ],
)
def test_a_text_means(text: str, operation: Operation) -> None:
    """Arguments come first, options have names, spaces do not matter."""
    assert parse_operation(text) == operation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sav a", "unknown operation 'sav'; valid: save, async, "),
        ("save", "'save' lacks its place; the form is: save PLACE [coordinator=COORDINATOR] [planner=PLANNER]"),
        ("save a b", "'save a b' has 'b' too many"),
        ("save latest", "place 'latest'; valid: "),
        ("save ../a", "place '../a'; valid: "),
        ("save a when=now", "save has no option 'when'; valid: coordinator, planner"),
        ("heal now=1", "heal has no option 'now'; the form is: heal"),
        ("load a ranks=1 ranks=2", "gives ranks twice"),
        ("load a ranks=two", "ranks 'two'; valid: a whole number"),
        ("load a entries=some", "unknown entries 'some'; valid: all, part"),
        ("restart 5000", "ranks 5000; valid: 0 to 1024"),
        ("prune 0", "keep 0; valid: 1 to "),
        ("renew disk", "unknown renew 'disk'; valid: writer, "),
        ("async a staging=never", "unknown staging 'never'; valid: writer, "),
    ],
)
def test_a_wrong_text_is_refused_with_the_choices(text: str, message: str) -> None:
    """The message has the value and what would be valid."""
    with pytest.raises(UsageError) as caught:
        parse_operation(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a job without operations"),
        ("retry", "operation 1, 'retry', has nothing to do again"),
        ("save a; restart; retry", "operation 3, 'retry', has nothing to do again"),
        ("wait", "operation 1, 'wait', has nothing to wait for"),
        ("async a; wait b", "operation 2, 'wait b', has nothing to wait for"),
        ("async a; wait; wait", "operation 3, 'wait', has nothing to wait for"),
        ("async a; restart; wait", "operation 3, 'wait', has nothing to wait for"),
        ("continue; save a", "operation 1, 'continue'; valid: between two operations"),
        ("save a; continue", "operation 2, 'continue'; valid: between two operations"),
        ("save a; continue; restart", "operation 2, 'continue'; valid: between two operations"),
        ("save a; continue; load a ranks=1", "operation 2, 'continue'; valid: between two operations"),
    ],
)
def test_an_operation_that_can_do_nothing_is_refused(text: str, message: str) -> None:
    """The message names the operation and says where it is valid."""
    with pytest.raises(UsageError) as caught:
        Job.parse(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ("writer.finish@0=raise", "names no operation of the job; valid: save[1]/..., load[1]/..."),
        ("save[3]/writer.finish@0=raise", "the job has no save[3]; valid: save[1], save[2], load[1]"),
        ("async_save/writer.finish@0=raise", "the job has no async_save; valid: save[1], save[2], load[1]"),
    ],
)
def test_a_fault_that_can_never_strike_is_refused(faults: str, message: str) -> None:
    """Each fault names an operation that the job has."""
    with pytest.raises(PlanError) as caught:
        Job.parse("save a; retry; load a", faults=faults)
    assert message in str(caught.value)


def test_calls_are_numbered_over_the_whole_job() -> None:
    """A restart does not begin anew, and a retry is a call of its own."""
    job = Job.parse("save a; async b; retry; wait; restart 3; load a; save b; load latest")
    assert job.calls == ("save[1]", "async_save[1]", "async_save[2]", "", "", "load[1]", "save[2]", "load[2]")


def test_a_restart_changes_what_it_names() -> None:
    """Everything else stays as it was in the life before."""
    lives = Job.parse("save a; restart 3; save b; restart way=no_dist; restart 1 engine=filesystem-threads", ranks=2).lives
    assert [(life.number, life.ranks, life.way, life.engine) for life in lives] == [
        (1, 2, "together", "filesystem"),
        (2, 3, "together", "filesystem"),
        (3, 3, "no_dist", "filesystem"),
    ]


@given(st.integers(1, 5), st.integers(0, 9), st.sampled_from(["filesystem", "filesystem-threads"]), st.sampled_from(["", "save[2]/writer.finish@0=raise"]))
def test_the_replay_line_has_everything(ranks: int, seed: int, engine: str, faults: str) -> None:
    """A job that is read from the words of its line is equal."""
    job = Job.parse("save a; retry; load latest", faults=faults, ranks=ranks, seed=seed, engine=engine)
    words = shlex.split(job.replay_line())
    assert words[:2] == ["ckpt-harness", "job"]
    options = {name.removeprefix("--"): value for name, value in zip(words[3::2], words[4::2], strict=True)}
    numbers = {name: int(options.pop(name)) for name in ("ranks", "seed") if name in options}
    assert Job.parse(words[2], **numbers, **options) == job  # type: ignore[arg-type]


def test_a_job_is_a_value() -> None:
    """Equal jobs have equal hashes, and a pickled job is equal, whether or not its calls were counted."""
    job = Job.parse("save a; load a", faults="save[1]/writer.finish@0=raise")
    assert job.calls
    again = pickle.loads(pickle.dumps(job))
    assert again == job
    assert hash(again) == hash(Job(job.operations, FaultPlan(job.faults.faults)))


def test_the_reference_lists_every_operation_with_its_arguments() -> None:
    """Each option by its name."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "jobs.md").read_text("utf-8")
    rows = {row.split("`")[1].split()[0]: row for row in page.splitlines() if row.startswith("| `")}
    for word, kind in OPERATIONS.items():
        assert word in rows
        assert [each.name for each in dataclasses.fields(kind) if each.kw_only and f"{each.name}=" not in rows[word]] == []


def test_every_refusal_is_one_of_the_harness() -> None:
    """A wrong type is refused as a wrong text is."""
    with pytest.raises(HarnessError):
        parse_operations(3)  # type: ignore[arg-type]
