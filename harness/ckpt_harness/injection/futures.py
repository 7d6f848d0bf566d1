"""Futures of storages and stagers that fail, never complete, come late or return a wrong value, where the plan says so.

Where the storage returned a future of torch, the engine gets a future of torch: one that has failed, or that nothing ever completes. For every other
effect, and for futures of other types, it gets a stand-in that passes on to the inner future what the fault leaves alone; the stand-in of a torch future
is an instance of ``torch.futures.Future`` too.
"""

from __future__ import annotations

import concurrent.futures
import functools
import sys
from typing import Any

from ckpt_harness import runtime
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects import Delay, Exit, FailFuture, Hang, Kill, NeverComplete, Stop, WrongResult
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.results import wrong


def faulty_future(faults: Injector, site_name: str, inner: Any) -> Any:
    """The future that the engine gets for ``inner``, the future of ``write_data`` or ``read_data``; ``inner`` itself unless a fault strikes it.

    A fault that fails the future fires now, whether or not anybody waits for the future later.

    Args:
        faults: the injector.
        site_name: full name of the future's site.
        inner: the future that the method returned.
    """
    arrival = _arrive(faults, site_name)
    runtime.current().expect(inner)
    if arrival.fault is None:
        return inner
    if not _is_of_torch(inner):
        return FaultyFuture(faults, arrival, inner)

    from ckpt_harness import _torch

    effect = arrival.fault.effect
    if isinstance(effect, FailFuture) and effect.at == "wait":
        return _torch.failed_future(error_specs.injected(effect.error, site_name, arrival.rank))
    if isinstance(effect, NeverComplete):
        return _lost_future(f"{effect} at {site_name}")
    return _torch_stand_in()(faults, arrival, inner)


def _is_of_torch(inner: Any) -> bool:
    if "torch" not in sys.modules:
        return False

    from ckpt_harness import _torch

    return _torch.is_future(inner)


def _lost_future(why: str) -> Any:
    """A future of torch that nothing ever completes. A world sees a wait for it as a hang; elsewhere, the wait is torch's own, and never ends."""
    from torch.futures import Future

    future: Future[Any] = Future()
    runtime.lose(future, why)
    return future


def faulty_completion(faults: Injector, site_name: str, inner: concurrent.futures.Future[Any]) -> concurrent.futures.Future[Any]:
    """The same for a future of ``concurrent.futures``, which calls back: the fault acts on the thread that completes the future.

    Args:
        faults: the injector.
        site_name: full name of the future's site.
        inner: the future that the method returned.
    """
    arrival = _arrive(faults, site_name)
    if arrival.fault is None:
        return inner
    effect = arrival.fault.effect
    outer: concurrent.futures.Future[Any] = concurrent.futures.Future()
    runtime.current().adopt(outer)

    def complete(done: concurrent.futures.Future[Any]) -> None:
        if isinstance(effect, NeverComplete):
            return
        if isinstance(effect, FailFuture):
            outer.set_exception(error_specs.injected(effect.error, arrival.site.name, arrival.rank))
            return
        faults.act(arrival)
        error = done.exception()
        if error is None:
            outer.set_result(done.result())
        else:
            outer.set_exception(error)

    inner.add_done_callback(complete)
    return outer


def _arrive(faults: Injector, site_name: str) -> Arrival:
    arrival = faults.arrive(site_name)
    if arrival.fault is not None and isinstance(arrival.fault.effect, (FailFuture, NeverComplete)):
        faults.fire(arrival)
    return arrival


class FaultyFuture:
    """Stands in for the future of ``write_data`` or ``read_data``. Everything that the fault leaves alone is the inner future's.

    Args:
        faults: the injector, which makes the effect act.
        arrival: the call of the future's site, with its fault.
        inner: the future of the wrapped storage.
    """

    def __init__(self, faults: Injector, arrival: Arrival, inner: Any) -> None:
        super().__init__()
        self._faults, self._arrival, self._inner = faults, arrival, inner
        self._effect = arrival.fault.effect if arrival.fault is not None else None
        self._acted = False
        self._error: BaseException | None = None

    def wait(self) -> Any:
        """Waits for the inner future, unless the fault acts here."""
        self._fail_at("wait")
        if isinstance(self._effect, NeverComplete):
            runtime.current().hang(f"{self._effect} at {self._arrival.site.name}")
        if isinstance(self._effect, (Delay, Hang, Kill, Stop, Exit)) and not self._acted:
            self._acted = True
            self._faults.act(self._arrival)
        return self._inner.wait()

    def value(self) -> Any:
        """The inner future's value, unless the fault acts here."""
        self._fail_at("wait", "value")
        value = self._inner.value()
        if isinstance(self._effect, WrongResult):
            if not self._acted:
                self._acted = True
                self._faults.fire(self._arrival)
            with self._faults.on_our_account(self._arrival.site.name):
                return wrong(value, self._effect)
        return value

    def done(self) -> bool:
        """Whether the inner future is done; always False for a future that never completes."""
        return not isinstance(self._effect, NeverComplete) and bool(self._inner.done())

    def _fail_at(self, *moments: str) -> None:
        """Raises the injected error, the same object each time, if the fault fails the future at one of these moments."""
        if isinstance(self._effect, FailFuture) and self._effect.at in moments:
            if self._error is None:
                self._error = error_specs.injected(self._effect.error, self._arrival.site.name, self._arrival.rank)
            raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@functools.cache
def _torch_stand_in() -> Any:
    """The class of stand-ins for futures of torch: a subclass of ``torch.futures.Future``, whose callbacks receive the stand-in."""
    from torch.futures import Future

    class FaultyTorchFuture(FaultyFuture, Future):  # type: ignore[type-arg]
        def then(self, callback: Any) -> Any:
            return self._inner.then(lambda _: callback(self))

        def add_done_callback(self, callback: Any) -> None:
            self._inner.add_done_callback(lambda _: callback(self))

        def set_result(self, result: Any) -> None:
            self._inner.set_result(result)

        def set_exception(self, result: Any) -> None:
            self._inner.set_exception(result)

    return FaultyTorchFuture
