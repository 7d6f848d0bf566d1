"""A runtime and a future for the tests of the injector."""

from __future__ import annotations

from typing import Any, NoReturn

from ckpt_harness.errors import InjectedFault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.injection.injector import Injector


class Stopped(BaseException):
    """The rank hangs or is dead; in a real runtime, the call never returns."""


class World:
    """A runtime in which the test chooses the calling rank, and sees a rank stop."""

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

    def expect(self, future: Any) -> None:
        """Nobody waits here."""


class Future:
    """A completed future of a storage."""

    def __init__(self, value: Any = "value") -> None:
        self.inner_value = value

    def wait(self) -> str:
        return "waited"

    def value(self) -> Any:
        return self.inner_value

    def done(self) -> bool:
        return True


def injector_of(text: str, **options: Any) -> Injector:
    """An injector for a plan in its text form."""
    return Injector(FaultPlan.parse(text), **options)


def struck(injector: Injector, site: str, calls: int = 6) -> list[int]:
    """The numbers of the calls that failed, from 1."""
    failed = []
    for number in range(1, calls + 1):
        try:
            injector.call(site, lambda: None)
        except InjectedFault:
            failed.append(number)
    return failed
