"""The injector: what happens when a fault fires."""

from __future__ import annotations

import errno
import pickle

import pytest
from injector_doubles import Stopped, World, injector_of, struck

from ckpt_harness.errors import InjectedFault, InternalError
from ckpt_harness.history import History


def test_an_empty_plan_passes_everything_on(world: World) -> None:
    """Arguments and result pass through, and nothing fires."""
    injector = injector_of("")
    assert injector.call("writer.write_data", lambda *args, **kwargs: (args, kwargs), 1, key=2) == ((1,), {"key": 2})
    assert not injector.fired


def test_before_and_after_decide_whether_the_call_acts(world: World) -> None:
    """A fault before the call replaces it; a fault after the call lets it act first."""
    for moment, expected in (("", []), ("!after", ["acted"])):
        acted: list[str] = []
        with pytest.raises(OSError, match="injected at writer.finish on rank 0") as caught:
            injector_of(f"writer.finish@0{moment}=raise(OSError:EIO)").call("writer.finish", lambda done=acted: done.append("acted"))
        assert caught.value.errno == errno.EIO
        assert acted == expected


def test_delay_hang_and_kill_use_the_runtime(world: World) -> None:
    """Time and death are the world's own."""
    assert injector_of("pg.barrier@0=delay(1800)").call("pg.barrier", lambda: "late") == "late"
    assert world.time == 1800
    with pytest.raises(Stopped, match="hang at pg.barrier"):
        injector_of("pg.barrier@0=hang").call("pg.barrier", lambda: None)
    with pytest.raises(Stopped, match="dead"):
        injector_of("pg.barrier@0=kill").call("pg.barrier", lambda: None)


def test_an_error_of_the_harness_is_recorded_before_it_is_raised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine would report the error as a failure of the checkpoint."""
    injector = injector_of("writer.finish@0=raise")
    monkeypatch.setattr(injector._arrivals, "_find", lambda *_: 1 / 0)
    with pytest.raises(InternalError, match="the harness broke at writer.finish: division by zero"):
        injector.call("writer.finish", lambda: None)
    assert injector.internal_errors == ["ZeroDivisionError: division by zero"]


def test_a_result_that_cannot_be_made_wrong_is_an_error_of_the_harness(world: World) -> None:
    """The storage returned no list: the fault means nothing there, and the engine is not to blame."""
    injector = injector_of("writer.prepare_global_plan@0=wrong(short)")
    with pytest.raises(InternalError):
        injector.call("writer.prepare_global_plan", lambda: None)
    assert len(injector.internal_errors) == 1
    assert not isinstance(InternalError("x"), InjectedFault)


def test_a_history_contains_the_course_of_an_operation(world: World) -> None:
    """Begin, enter, fault, exit or raised, end; in the world's time."""
    injector = injector_of("writer.finish@0=delay(2)", history=(history := History()))
    with injector.operation("save"):
        injector.call("writer.finish", lambda: None)
        with pytest.raises(ValueError, match="own"):
            injector.call("writer.reset", lambda: (_ for _ in ()).throw(ValueError("own")))
    course = [(event.time, event.kind, event.site, event.detail) for event in history]
    assert course == [
        (0.0, "begin", "", ""),
        (0.0, "enter", "writer.finish", ""),
        (0.0, "fault", "writer.finish", "writer.finish@0=delay(2)"),
        (2.0, "exit", "writer.finish", ""),
        (2.0, "enter", "writer.reset", ""),
        (2.0, "raised", "writer.reset", "ValueError"),
        (2.0, "end", "", ""),
    ]


def test_a_pickled_injector_counts_with_its_original(world: World) -> None:
    """Both know what fired; the history stays with the original."""
    injector = injector_of("pg.gather@0#2=raise", history=History())
    copy = pickle.loads(pickle.dumps(injector))
    assert copy.history is None
    assert struck(copy, "pg.gather", 1) == []
    assert struck(injector, "pg.gather", 1) == [1]
    assert copy.fired == injector.fired != ()
