"""Effects on calls of any kind: the call fails, is late, never returns, ends its rank, or returns something false."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.errors import PlanError, choices, quoted
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects.base import Effect
from ckpt_harness.faults.sites import Site


@dataclass(frozen=True)
class Raise(Effect):
    """Raises an error.

    Attributes:
        error: the error's name, as :func:`ckpt_harness.faults.error_specs.check` accepts it.

    Example:
        >>> from ckpt_harness import Fault, Raise
        >>> str(Fault("writer.write_data", (2,), Raise("OSError:ENOSPC")))
        'writer.write_data@2=raise(OSError:ENOSPC)'
    """

    error: str = "InjectedFault"
    name: ClassVar[str] = "raise"
    about: ClassVar[str] = "raises an error: raise, raise(ValueError), raise(OSError:ENOSPC), raise(unpicklable), raise(my.module.Error)"

    def __post_init__(self) -> None:
        error_specs.check(self.error)

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return not site.is_future and site.layer != "network"


@dataclass(frozen=True)
class FailFuture(Effect):
    """The call returns, and its future fails.

    Attributes:
        at: the method of the future that raises: ``wait`` or ``value``.
        error: the error's name, as :func:`ckpt_harness.faults.error_specs.check` accepts it.

    Example:
        >>> from ckpt_harness import FailFuture, Fault
        >>> str(Fault("writer.write_data.future", (1,), FailFuture("value", "OSError:EIO")))
        'writer.write_data.future@1=failfuture(value,OSError:EIO)'
    """

    at: str = "wait"
    error: str = "InjectedFault"
    name: ClassVar[str] = "failfuture"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the future fails: failfuture, failfuture(value), failfuture(wait,OSError:EIO)"

    def __post_init__(self) -> None:
        if self.at not in ("wait", "value"):
            raise PlanError(f"argument {quoted(self.at)} of failfuture; valid: wait, value")
        error_specs.check(self.error)

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.is_future

    @classmethod
    def moments_at(cls, site: Site) -> tuple[str, ...]:
        """The methods of the future at ``site`` that may raise: DCP never takes the value of a read, and waits for a staging and its value at once."""
        return ("wait",) if site.name in ("reader.read_data.future", "stager.stage.future") else ("wait", "value")


@dataclass(frozen=True)
class NeverComplete(Effect):
    """The call returns, and its future never completes.

    Example:
        >>> from ckpt_harness import Fault, NeverComplete
        >>> str(Fault("writer.write_data.future", (1,), NeverComplete()))
        'writer.write_data.future@1=nevercomplete'
    """

    name: ClassVar[str] = "nevercomplete"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the future never completes"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.is_future


@dataclass(frozen=True)
class Delay(Effect):
    """The rank is late.

    Attributes:
        seconds: seconds of the world's time; simulated seconds cost nothing.

    Example:
        >>> from ckpt_harness import Delay, Fault
        >>> str(Fault("writer.finish", "coordinator", Delay(2.5)))
        'writer.finish@coordinator=delay(2.5)'
    """

    seconds: float = 1.0
    name: ClassVar[str] = "delay"
    about: ClassVar[str] = "the rank is late by a number of seconds: delay(2.5)"

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf):
            raise PlanError(f"argument {quoted(self.seconds)} of delay; valid: a positive, finite number of seconds")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Hang(Effect):
    """The call never returns.

    Example:
        >>> from ckpt_harness import Fault, Hang
        >>> str(Fault("reader.read_data", (0, 1), Hang()))
        'reader.read_data@0,1=hang'
    """

    name: ClassVar[str] = "hang"
    about: ClassVar[str] = "the call never returns"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Kill(Effect):
    """The rank dies: by SIGKILL if it is a process; a simulated rank never runs again.

    Example:
        >>> from ckpt_harness import Fault, Kill
        >>> str(Fault("writer.write_data", (1,), Kill(), after=True))
        'writer.write_data@1!after=kill'
    """

    name: ClassVar[str] = "kill"
    about: ClassVar[str] = "the rank dies, as by SIGKILL"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer != "network"


@dataclass(frozen=True)
class Stop(Effect):
    """The rank is stopped by SIGSTOP, as if its host were paused or a debugger held it: it keeps its connections, and does nothing.

    Attributes:
        seconds: seconds until SIGCONT comes. Default: never, as long as the case lasts.
    """

    seconds: float = math.inf
    name: ClassVar[str] = "stop"
    about: ClassVar[str] = "the rank gets SIGSTOP: stop, or stop(2.5) with SIGCONT after 2.5 seconds; real processes only"
    needs_processes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise PlanError(f"argument {quoted(self.seconds)} of stop; valid: a positive number of seconds")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer != "network"


@dataclass(frozen=True)
class Exit(Effect):
    """The rank ends by ``os._exit``, as native code does that gives up: nothing is unwound or flushed, and the exit looks orderly."""

    name: ClassVar[str] = "exit"
    about: ClassVar[str] = "the rank ends at once, as by os._exit; real processes only"
    needs_processes: ClassVar[bool] = True

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer != "network"


@dataclass(frozen=True)
class Skip(Effect):
    """The call returns successfully and did nothing.

    Example:
        >>> from ckpt_harness import Fault, Skip
        >>> str(Fault("fs.fsync", (1,), Skip(), times=None))
        'fs.fsync@1#1x*=skip'
    """

    name: ClassVar[str] = "skip"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the call returns successfully and did nothing"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        if site.layer != "calls":
            return site.name in ("fs.mkdir", "fs.flush", "fs.fsync", "fs.rename", "fs.rm_file", "http.put", "http.copy", "http.delete")
        return site.side != "pg" and (site.result in ("nothing", "argument", "list") or site.name in ("writer.write_data", "reader.read_data"))


_LISTS = ("none", "short", "duplicate")
"""Wrong results of a call that returns a list."""

PARTS = ("gap", "overlap", "shift")
"""Wrong statements of a rank about its first part of a sharded tensor: the part is left out, is one element too long, or lies one element further on."""


@dataclass(frozen=True)
class WrongResult(Effect):
    """The call acts and returns a wrong result.

    Attributes:
        kind: ``none``; for a list ``short`` (without its last element) or ``duplicate`` (with its first element twice); for the save plan of a rank
            one of :data:`PARTS`.

    Example:
        >>> from ckpt_harness import Fault, WrongResult
        >>> str(Fault("writer.prepare_global_plan", "coordinator", WrongResult("short")))
        'writer.prepare_global_plan@coordinator=wrong(short)'
    """

    kind: str = "none"
    name: ClassVar[str] = "wrong"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = (
        "the call acts and returns a wrong result: wrong(none); for lists wrong(short), wrong(duplicate); for a rank's save plan wrong(gap), "
        "wrong(overlap), wrong(shift): its first part of a sharded tensor is left out, too long, or elsewhere"
    )

    def __post_init__(self) -> None:
        kinds = (*_LISTS, *PARTS)
        if self.kind not in kinds:
            raise PlanError(f"argument {quoted(self.kind)} of wrong; {choices(kinds)}")

    @property
    def about_parts(self) -> bool:
        return self.kind in PARTS

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        if site.is_future and "value" not in FailFuture.moments_at(site):
            return False
        return site.side != "pg" and site.layer == "calls" and site.result != "nothing"

    @classmethod
    def kinds_at(cls, site: Site) -> tuple[str, ...]:
        """The kinds of wrong results that are possible at ``site``."""
        if site.name == "save_planner.create_local_plan":
            return ("none", *PARTS)
        return _LISTS if site.result in ("list", "plans", "future") else ("none",)
