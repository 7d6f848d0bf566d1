"""The course of a run: read from its history, or promised by the protocol."""

from __future__ import annotations

from ckpt_harness.faults.protocol import DCP, DCP_ALONE, groups_of
from ckpt_harness.history import Event, History
from ckpt_harness.judging.trace import Moment, Trace


def _history(*events: tuple[int, str, str, str, int]) -> History:
    history = History()
    for rank, kind, operation, site, nth in events:
        history.append(Event(0.0, rank, kind, operation, site, nth))
    return history


def test_a_history_is_read_rank_by_rank() -> None:
    """Calls and returns are moments, in the order of each rank; a call that failed says so; everything else is left out."""
    trace = Trace.of(
        _history(
            (1, "begin", "save[1]", "", 0),
            (0, "begin", "save[1]", "", 0),
            (1, "enter", "save[1]", "writer.write_data", 1),
            (0, "enter", "save[1]", "writer.reset", 1),
            (0, "raised", "save[1]", "writer.reset", 1),
            (1, "exit", "save[1]", "writer.write_data", 1),
            (0, "end", "save[1]", "", 0),
        )
    )
    assert trace.moments == {
        "save[1]": {
            0: (Moment("writer.reset", 1, False, fails=True),),
            1: (Moment("writer.write_data", 1, False), Moment("writer.write_data", 1, True)),
        }
    }
    assert list(trace.moments["save[1]"]) == [0, 1]


def test_calls_outside_of_an_operation_are_nobodys() -> None:
    """What the rig does before and after its operations is no part of their course."""
    trace = Trace.of(
        _history((0, "enter", "", "writer.reset", 1), (0, "begin", "load[1]", "", 0), (0, "enter", "load[9]", "reader.reset", 1))
    )
    assert trace.moments == {"load[1]": {0: ()}}
    assert trace.reached() == frozenset()


def test_calls_are_counted_and_returns_are_not() -> None:
    """Twice called is two, whether or not it came back."""
    trace = Trace({"save[1]": {0: (Moment("pg.gather", 1, False), Moment("pg.gather", 1, True), Moment("pg.gather", 2, False))}})
    assert trace.counts == {("save[1]", 0, "pg.gather"): 2}
    assert trace.reached() == {"pg.gather"}


def test_the_protocol_promises_a_course() -> None:
    """Every site once, in order; what the coordinator alone calls on the coordinator alone."""
    moments = Trace.nominal(["save[1]"], groups_of(3, 2, DCP), DCP).moments["save[1]"]
    assert [[moment.site for moment in moments[rank] if moment.site == "writer.finish" and not moment.after] for rank in range(3)] == [
        [],
        [],
        ["writer.finish"],
    ]
    sites = [moment.site for moment in moments[2] if not moment.after]
    assert (
        sites.index("writer.reset") < sites.index("writer.storage_meta") < sites.index("writer.write_data") < sites.index("writer.finish")
    )
    assert [moment.after for moment in moments[0][:2]] == [False, True]


def test_alone_every_rank_coordinates_itself() -> None:
    """Without collectives each rank plans and commits for itself."""
    moments = Trace.nominal(["save[1]"], groups_of(2, 0, DCP_ALONE), DCP_ALONE).moments["save[1]"]
    assert all(any(moment.site == "writer.finish" for moment in moments[rank]) for rank in range(2))
