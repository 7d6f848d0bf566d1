"""The injector: which call a fault strikes, and what it makes of it."""

from __future__ import annotations

import contextlib
import errno
import pickle
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from ckpt_harness import runtime
from ckpt_harness.errors import InjectedFault, InternalError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.futures import faulty_future
from ckpt_harness.injection.injector import Firing, Injector


class Stopped(BaseException):
    """The rank hangs or is dead; a real runtime never comes back."""


class World:
    """A runtime in which the test says who calls, and stops are seen."""

    def __init__(self) -> None:
        self.calling = 0
        self.time = 0.0

    def rank(self) -> int:
        return self.calling

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def hang(self, why: str) -> NoReturn:
        raise Stopped(why)

    def die(self) -> NoReturn:
        raise Stopped("dead")


@pytest.fixture
def world() -> Iterator[World]:
    """Installed for the test."""
    made = World()
    with runtime.installed(made):
        yield made


class Future:
    """A completed inner future."""

    def __init__(self, value: Any = "value") -> None:
        self.inner_value = value

    def wait(self) -> str:
        return "waited"

    def value(self) -> Any:
        return self.inner_value

    def done(self) -> bool:
        return True


def _injector(text: str, **options: Any) -> Injector:
    return Injector(FaultPlan.parse(text), **options)


def _struck(injector: Injector, site: str, calls: int = 6) -> list[int]:
    """Which of the calls failed."""
    failed = []
    for number in range(1, calls + 1):
        try:
            injector.call(site, lambda: None)
        except InjectedFault:
            failed.append(number)
    return failed


def test_an_empty_plan_passes_everything_on(world: World) -> None:
    """Arguments, result, and no firing."""
    injector = _injector("")
    assert injector.call("writer.write_data", lambda *args, **kwargs: (args, kwargs), 1, key=2) == ((1,), {"key": 2})
    assert not injector.fired


def test_a_fault_strikes_its_occurrence_on_its_rank(world: World) -> None:
    """Counted per rank."""
    injector = _injector("writer.write_data@1#2=raise")
    assert _struck(injector, "writer.write_data") == []
    world.calling = 1
    assert _struck(injector, "writer.write_data") == [2]
    assert [(firing.rank, firing.fault) for firing in injector.fired] == [(1, "writer.write_data@1#2=raise")]


@pytest.mark.parametrize(("window", "struck"), [("", [1]), ("#2x3", [2, 3, 4]), ("#5x*", [5, 6])], ids=["once", "some", "for ever"])
def test_a_fault_strikes_as_often_as_told(world: World, window: str, struck: list[int]) -> None:
    """From the n-th occurrence, so many times."""
    assert _struck(_injector(f"pg.gather@0{window}=raise"), "pg.gather") == struck


def test_within_an_operation_occurrences_start_anew(world: World) -> None:
    """With an operation, ``nth`` counts within it; without, over the whole case."""
    addressed, case = _injector("save/pg.gather@0#2=raise"), _injector("pg.gather@0#2=raise")
    for injector, expected in ((addressed, [[2], [2]]), (case, [[2], []])):
        found = []
        for _ in range(2):
            with injector.operation("save"):
                found.append(_struck(injector, "pg.gather", 2))
        assert found == expected


def test_operations_are_numbered_by_kind_and_rank(world: World) -> None:
    """Each rank counts its own."""
    injector = _injector("save[2]/writer.finish@0=raise")
    names = []
    for kind in ("save", "load", "save"):
        with injector.operation(kind) as name:
            names.append((name, _struck(injector, "writer.finish", 1)))
    assert names == [("save[1]", []), ("load[1]", []), ("save[2]", [1])]
    world.calling = 1
    with injector.operation("save") as name:
        assert name == "save[1]"
    assert injector.fired == (Firing("save[2]/writer.finish@0=raise", 0, "save[2]", 1),)


def test_before_means_that_the_call_never_happened(world: World) -> None:
    """And after, that it did."""
    for moment, expected in (("", []), ("!after", ["acted"])):
        acted: list[str] = []
        with pytest.raises(OSError, match="injected at writer.finish on rank 0") as caught:
            _injector(f"writer.finish@0{moment}=raise(OSError:EIO)").call("writer.finish", lambda done=acted: done.append("acted"))
        assert caught.value.errno == errno.EIO
        assert acted == expected


def test_the_coordinator_is_whom_the_engine_says(world: World) -> None:
    """A wrapper is told its role; until then the first coordinator counts."""
    injector = _injector("writer.write_data@coordinator#1x*=raise; writer.reset@others#1x*=raise", coordinators=(1,))
    assert (_struck(injector, "writer.write_data", 1), _struck(injector, "writer.reset", 1)) == ([], [1])
    injector.learn_role(True)
    assert (_struck(injector, "writer.write_data", 1), _struck(injector, "writer.reset", 1)) == ([1], [])


def test_a_caller_may_say_its_rank(world: World) -> None:
    """Where no launcher knows it."""
    assert _struck(_injector("writer.write_data@5=raise", rank=5), "writer.write_data", 1) == [1]


SAVE = "reset storage_meta set_up_storage_writer prepare_local_plan prepare_global_plan write_data finish".split()


def test_a_wrapper_that_stands_alone_infers_its_operations(world: World) -> None:
    """From the order of calls: an earlier site than the last begins the next operation."""
    injector = _injector("save[2]/writer.write_data@0=raise; save[3]/writer.prepare_local_plan@0=raise")
    reached = []
    for _ in range(3):
        with contextlib.suppress(InjectedFault):
            for name in SAVE:
                injector.call(f"writer.{name}", lambda: None)
        reached.append(name)
    assert reached == ["finish", "write_data", "prepare_local_plan"]


def test_a_retried_read_is_no_new_operation(world: World) -> None:
    """``read_metadata`` is called again after an error."""
    injector = _injector("load/reader.read_metadata@0#2=raise")
    injector.call("reader.reset", lambda: None)
    assert _struck(injector, "reader.read_metadata", 3) == [2]
    assert injector.fired[0].operation == "load[1]"


def test_delay_hang_and_kill_ask_the_runtime(world: World) -> None:
    """Time is the world's own, and so is death."""
    assert _injector("pg.barrier@0=delay(1800)").call("pg.barrier", lambda: "late") == "late"
    assert world.time == 1800
    with pytest.raises(Stopped, match="hang at pg.barrier"):
        _injector("pg.barrier@0=hang").call("pg.barrier", lambda: None)
    with pytest.raises(Stopped, match="dead"):
        _injector("pg.barrier@0=kill").call("pg.barrier", lambda: None)


@pytest.mark.parametrize(
    ("site", "arguments", "expected"),
    [("finish", (1, 2), None), ("prepare_local_plan", ("plan",), "plan"), ("prepare_global_plan", (["a", "b"],), ["a", "b"])],
)
def test_skip_says_yes_and_does_nothing(world: World, site: str, arguments: tuple[Any, ...], expected: Any) -> None:
    """What transforms its argument gives it back as it was."""
    injector = _injector(f"writer.{site}@0=skip")
    assert injector.call(f"writer.{site}", lambda *_: pytest.fail("called"), *arguments) == expected
    assert injector.fired


def test_skipped_data_looks_written_and_read(world: World) -> None:
    """A future that is done, with nothing in it."""
    written = _injector("writer.write_data@0=skip").call("writer.write_data", lambda: None)
    read = _injector("reader.read_data@0=skip").call("reader.read_data", lambda: None)
    assert (written.wait(), written.value(), written.done()) == ([], [], True)
    assert (read.wait(), read.value(), read.done()) == (None, None, True)


@pytest.mark.parametrize(("kind", "plans"), [("none", None), ("short", ["a"]), ("duplicate", ["a", "a", "b"])])
def test_a_wrong_result_is_not_what_the_call_gave(world: World, kind: str, plans: list[str] | None) -> None:
    """The call acts; a pair of plans and metadata keeps its metadata."""
    listed = _injector(f"writer.prepare_global_plan@0=wrong({kind})")
    assert listed.call("writer.prepare_global_plan", lambda: ["a", "b"]) == plans
    pair = _injector(f"save_planner.create_global_plan@0=wrong({kind})").call("save_planner.create_global_plan", lambda: (["a", "b"], "meta"))
    assert pair == (None if kind == "none" else (plans, "meta"))


def test_a_future_fails_at_its_moment(world: World) -> None:
    """At wait, and so at value too; or at value alone. The same error each time."""
    injector = _injector("writer.write_data.future@0=failfuture(wait,OSError:EIO)")
    failing = faulty_future(injector, "writer.write_data.future", Future())
    assert injector.fired  # whether or not anybody looks
    with pytest.raises(OSError, match="injected at") as first:
        failing.wait()
    with pytest.raises(OSError, match="injected at") as second:
        failing.value()
    assert first.value is second.value
    late = faulty_future(_injector("writer.write_data.future@0=failfuture(value)"), "writer.write_data.future", Future())
    assert late.wait() == "waited"
    with pytest.raises(InjectedFault):
        late.value()


def test_a_future_may_never_complete(world: World) -> None:
    """It is never done, and waiting for it never ends."""
    never = faulty_future(_injector("writer.write_data.future@0=nevercomplete"), "writer.write_data.future", Future())
    assert not never.done()
    with pytest.raises(Stopped, match="nevercomplete at"):
        never.wait()


def test_a_future_may_be_late_or_wrong(world: World) -> None:
    """Late once; short by one result."""
    late = faulty_future(_injector("writer.write_data.future@0=delay(5)"), "writer.write_data.future", Future())
    assert (late.wait(), late.wait(), world.time) == ("waited", "waited", 5)
    short = faulty_future(_injector("writer.write_data.future@0=wrong(short)"), "writer.write_data.future", Future([1, 2, 3]))
    assert short.value() == short.value() == [1, 2]
    assert short.inner_value == [1, 2, 3]  # everything else is the inner future's


def test_an_error_of_ours_is_recorded_before_it_is_raised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine would report it as a failure of the checkpoint."""
    injector = _injector("writer.finish@0=raise")
    monkeypatch.setattr(injector._arrivals, "_find", lambda *_: 1 / 0)
    with pytest.raises(InternalError, match="the harness broke at writer.finish: division by zero"):
        injector.call("writer.finish", lambda: None)
    assert injector.internal_errors == ["ZeroDivisionError: division by zero"]


def test_a_result_that_cannot_be_falsified_is_an_error_of_ours(world: World) -> None:
    """What the storage returned is no list: the plan means nothing there, and that is not the engine's failure."""
    injector = _injector("writer.prepare_global_plan@0=wrong(short)")
    with pytest.raises(InternalError):
        injector.call("writer.prepare_global_plan", lambda: None)
    assert len(injector.internal_errors) == 1
    assert not isinstance(InternalError("x"), InjectedFault)


def test_a_history_tells_the_course(world: World) -> None:
    """Begin, enter, fault, raised or exit, end; in the world's time."""
    injector = _injector("writer.finish@0=delay(2)", history=(history := History()))
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
    """And what it fired is known to both; its history stays at home."""
    injector = _injector("pg.gather@0#2=raise", history=History())
    copy = pickle.loads(pickle.dumps(injector))
    assert copy.history is None
    assert _struck(copy, "pg.gather", 1) == []
    assert _struck(injector, "pg.gather", 1) == [1]
    assert copy.fired == injector.fired != ()


def test_healing_ends_all_faults_of_a_rank(world: World) -> None:
    """Its calls are still counted; the other ranks' faults stay."""
    injector = _injector("pg.gather@all#1x*=raise")
    injector.heal()
    assert _struck(injector, "pg.gather", 2) == []
    world.calling = 1
    assert _struck(injector, "pg.gather", 2) == [1, 2]
