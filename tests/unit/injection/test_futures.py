"""Futures that fail, never complete, or come late or wrong: of torch, and of other types."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import torch
from injector_doubles import Future, Stopped, World, injector_of

from ckpt_harness import SimulatedWorld
from ckpt_harness.errors import InjectedFault
from ckpt_harness.injection.futures import faulty_future

SITE = "writer.write_data.future"


def test_a_future_fails_at_its_moment(world: World) -> None:
    """At ``wait``, and so at ``value`` too; or at ``value`` alone. The error is the same object each time."""
    injector = injector_of(f"{SITE}@0=failfuture(wait,OSError:EIO)")
    failing = faulty_future(injector, SITE, Future())
    assert injector.fired  # whether or not anybody waits
    with pytest.raises(OSError, match="injected at") as first:
        failing.wait()
    with pytest.raises(OSError, match="injected at") as second:
        failing.value()
    assert first.value is second.value
    late = faulty_future(injector_of(f"{SITE}@0=failfuture(value)"), SITE, Future())
    assert late.wait() == "waited"
    with pytest.raises(InjectedFault):
        late.value()


def test_a_future_may_never_complete(world: World) -> None:
    """It is never done, and ``wait`` never returns."""
    never = faulty_future(injector_of(f"{SITE}@0=nevercomplete"), SITE, Future())
    assert not never.done()
    with pytest.raises(Stopped, match="nevercomplete at"):
        never.wait()


def test_a_future_may_be_late_or_wrong(world: World) -> None:
    """Late at the first ``wait`` alone; short by one result at each ``value``."""
    late = faulty_future(injector_of(f"{SITE}@0=delay(5)"), SITE, Future())
    assert (late.wait(), late.wait(), world.time) == ("waited", "waited", 5)
    short = faulty_future(injector_of(f"{SITE}@0=wrong(short)"), SITE, Future([1, 2, 3]))
    assert short.value() == short.value() == [1, 2]
    assert short.inner_value == [1, 2, 3]  # every other attribute is the inner future's


def test_without_a_fault_the_future_is_the_storages_own(world: World) -> None:
    """Nothing is wrapped that no fault strikes."""
    inner = Future()
    assert faulty_future(injector_of(f"{SITE}@1=failfuture"), SITE, inner) is inner


def done(value: Any = None) -> torch.futures.Future[Any]:
    """A completed future of torch, as a storage returns it."""
    future: torch.futures.Future[Any] = torch.futures.Future()
    future.set_result(value)
    return future


def seen(future: torch.futures.Future[Any]) -> tuple[Any, ...]:
    """What an engine sees of a failed future: its type, its state, its error, the functions of the traceback, and what callbacks get."""
    received: list[Any] = []
    future.add_done_callback(received.append)
    derived = future.then(lambda source: source.value())
    errors = []
    for method in (future.wait, future.value, derived.wait):
        with pytest.raises(BaseException) as caught:  # noqa: PT011  (whatever it is: it is compared)
            method()
        errors.append((type(caught.value), [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][1:3]))
    return type(future), future.done(), received == [future], errors[:2], errors[2][0]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyError("x"), SystemExit(3), KeyboardInterrupt()])
def test_a_failed_future_of_torch_is_a_real_one(error: BaseException, world: World) -> None:
    """Its type, state, callbacks and traceback are those of a future whose exception was set."""
    name = "OSError:EIO" if isinstance(error, OSError) else type(error).__name__
    faulty = faulty_future(injector_of(f"{SITE}@0=failfuture(wait,{name})"), SITE, done())
    real: torch.futures.Future[Any] = torch.futures.Future()
    if isinstance(error, Exception):
        real.set_exception(error)
        assert seen(faulty) == seen(real)
    assert type(faulty) is torch.futures.Future
    with pytest.raises(type(error)):
        faulty.wait()


def test_a_lost_future_of_torch_is_a_real_one() -> None:
    """Its callbacks are never called, and every wait for it is a hang that the world proves, as is a wait for what is derived from it."""

    def wait(how: str) -> None:
        lost = faulty_future(injector_of(f"{SITE}@0=nevercomplete"), SITE, done())
        assert type(lost) is torch.futures.Future
        assert not lost.done()
        lost.add_done_callback(lambda _: pytest.fail("called"))
        waits = {"wait": lost.wait, "then": lost.then(lambda _: None).wait, "all": lambda: torch.futures.wait_all([done(), lost])}
        waits[how]()

    for how in ("wait", "then", "all"):
        (result,) = SimulatedWorld(1).run(wait, how)
        assert result.outcome == "hung", how
        assert result.wait is not None
        assert result.wait.what == f"nevercomplete at {SITE}"


@pytest.mark.parametrize("effect", ["delay(5)", "wrong(short)", "failfuture(value)"])
def test_every_other_stand_in_for_a_future_of_torch_is_a_future_of_torch(effect: str, world: World) -> None:
    """Also for callbacks, which receive the stand-in, and so meet the fault; and where the storage returned what ``then`` returns."""
    for inner in (done([1, 2]), done().then(lambda _: [1, 2])):
        stand_in = faulty_future(injector_of(f"{SITE}@0={effect}"), SITE, inner)
        assert isinstance(stand_in, torch.futures.Future)
        received: list[Any] = []
        stand_in.add_done_callback(received.append)
        assert received == [stand_in]
        assert stand_in.done()
        if effect == "failfuture(value)":
            assert stand_in.wait() == [1, 2]
            with pytest.raises(RuntimeError, match="InjectedFault"):  # torch's form of an error in a callback
                stand_in.then(lambda source: source.value()).wait()
        else:
            assert stand_in.then(lambda source: (source.wait(), source.value())[1]).wait() == ([1] if "wrong" in effect else [1, 2])
    assert world.time == (10 if "delay" in effect else 0)
