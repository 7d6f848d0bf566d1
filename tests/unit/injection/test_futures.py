"""Futures that fail, never complete, or come late or wrong."""

from __future__ import annotations

import pytest
from injector_doubles import Future, Stopped, World, injector_of

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
