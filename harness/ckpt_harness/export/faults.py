"""The faults of a plan as classes and functions of a script: the engine's own, with the one method overridden."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch.distributed.checkpoint as dcp

from ckpt_harness.errors import UsageError
from ckpt_harness.export import executors
from ckpt_harness.export.errors import raising
from ckpt_harness.faults.effects import Delay, Effect, Exit, FailFuture, Hang, Kill, NeverComplete, Raise, Skip, Stop, WrongResult
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.sites import SITES

_CLASSES = {
    "writer": ("Writer", "dcp.FileSystemWriter"),
    "reader": ("Reader", "dcp.FileSystemReader"),
    "save_planner": ("Planner", "dcp.DefaultSavePlanner"),
    "load_planner": ("Planner", "dcp.DefaultLoadPlanner"),
    "state": ("Model", "SimpleNamespace"),
    "stager": ("Stager", "dcp.staging.DefaultStager"),
}
"""Side -> what its class in a script is called, and derives from."""
STAGERS = {"blocking": "dcp.staging.BlockingAsyncStager", "background": "dcp.staging.DefaultStager"}
"""Staging by a stager of the caller's -> the class of it."""
IN_BACKGROUND = "dcp.staging.StagingOptions(False, True, True, False)"
"""What a stager is made with that copies on a thread: pinned memory and copies that do not block need an accelerator."""
PLACE_OF_SAVE = "checkpoint_{number}"
"""Where each of two saves goes that are under way at once."""
_STATEFUL = {"state_dict": "dict(vars(self))", "load_state_dict": "vars(self).update(state_dict)"}
_OF_GROUPS = {"all_gather": "allgather"}
"""Collectives whose method of a process group has another name."""
_CALLED_ON = ("writer.checkpoint_id", "reader.checkpoint_id", "reader.read_metadata")
"""Sites that the engine calls again though a call has raised."""
LATEST = 20.0
"""Seconds that a script waits for a late rank, at most."""


@dataclass(frozen=True)
class Struck:
    """A fault, and the ranks where it struck."""

    fault: Fault
    ranks: tuple[int, ...]


@dataclass
class Faults:
    """Builds what a script needs for its faults.

    Args:
        struck: the faults.
        ranks: size of the world.
        on_threads: None, or whether what struck ``resolve_data`` did so on a writer thread: which of several threads comes first is up to chance.
        staging: what copies the state of an async save.
        again: whether ranks try again, and nothing strikes them then.
        overlapping: whether two saves are under way at once, and each fault strikes one of them.

    Attributes:
        blocks: classes and functions, each as text.
        constants: assignments that they use.
        patches: statements that a rank executes before the operation.
    """

    struck: Sequence[Struck]
    ranks: int
    on_threads: bool | None = None
    staging: str = "writer"
    again: bool = False
    overlapping: bool = False
    blocks: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.told:
            self.constants.append("HEALED = threading.Event()")
        by_side: dict[str, dict[str, list[Struck]]] = {}
        for one in self.struck:
            method = one.fault.at.method.removesuffix(".future")
            by_side.setdefault(one.fault.at.side, {}).setdefault(method, []).append(one)
        for side, methods in by_side.items():
            if side == "pg":
                for method, strikes in methods.items():
                    self._collective(method, strikes)
            elif side == "executor":
                self.constants += [executors.PROCESS, executors.MAIN, *["SAVE = PROCESS._execute_save"] * ("save" in methods)]
                self.blocks += executors.processes(methods, lambda one: self._act(one, ""), self._body)
                self.patches.append(executors.PATCH)
            else:
                self._class(side, methods)

    @property
    def told(self) -> bool:
        """Whether faults must be told that they are healed; what strikes another process is not part of those that are started from then on."""
        return self.again and any(one.fault.at.side != "executor" for one in self.struck)

    def names(self, side: str) -> bool:
        """Whether a fault struck on ``side``, so that the script has a class for it."""
        return any(one.fault.at.side == side for one in self.struck)

    # -- classes and functions

    def _class(self, side: str, methods: dict[str, list[Struck]]) -> None:
        if side not in _CLASSES:
            raise UsageError(f"faults at {side}.* cannot be exported yet; valid: {', '.join(_CLASSES)}, pg")
        name, base = _CLASSES[side]
        if side == "stager":
            base = STAGERS.get(self.staging, base)
            self.patches += ["dcp.state_dict_saver.DefaultStager = Stager"] * (self.staging == "engine")
        found = [self._method(side, method, strikes) for method, strikes in methods.items()]
        if side == "state":  # DCP takes it for a Stateful only if it has both
            found += [[*_head(method, side), f"    {_plainly(call, side, method)}"] for method, call in _STATEFUL.items() if method not in methods]
        if side == "stager" and self.staging == "background":
            found.insert(0, ["def __init__(self):", f"    super().__init__({IN_BACKGROUND})"])
        lines = [f"class {name}({base}):"]
        for number, method in enumerate(found):
            lines += [""] * (number > 0) + _indented(method)
        self.blocks.append("\n".join(lines))

    def _method(self, side: str, method: str, strikes: Sequence[Struck]) -> list[str]:
        arguments = _arguments(side, method)[1]
        passing = "" if method == "checkpoint_id" else f"({arguments})"
        call = _STATEFUL[method] if side == "state" else f"super().{method}{passing}"
        return _head(method, side) + _indented(self._body(strikes, call, _plainly(call, side, method), arguments))

    def _collective(self, method: str, strikes: Sequence[Struck]) -> None:
        of_group = _OF_GROUPS.get(method, method)
        self.constants.append(f"{method.upper()} = dist.ProcessGroup.{of_group}")
        call = f"{method.upper()}(*args, **kwargs)"
        lines = [f"def {method}(*args, **kwargs):", *_indented(self._body(strikes, call, f"return {call}", ""))]
        self.blocks.append("\n".join(lines))
        self.patches.append(f"dist.ProcessGroup.{of_group} = {method}")

    def _body(self, strikes: Sequence[Struck], call: str, plainly: str, arguments: str) -> list[str]:
        """What a method does: the faults that come first, the call, and the faults that come after it."""
        early = [one for one in strikes if not _is_late(one.fault)]
        late = [one for one in strikes if _is_late(one.fault)]
        lines: list[str] = []
        for one in early:
            condition = self._condition(one)
            lines += _guarded(condition, self._act(one, arguments))
            if not condition and _ends(one.fault.effect):
                return lines
        if not late:
            return [*lines, plainly]
        returns = plainly.startswith("return ")
        lines.append(f"result = {call}" if returns else call)
        if late[0].fault.at.side == "pg":
            lines.append("result.wait()")
        for one in late:
            condition = self._condition(one)
            lines += _guarded(condition, self._act_late(one))
            if not condition and (_ends(one.fault.effect) or lines[-1].startswith("return ")):
                return lines
        return [*lines, "return result"] if returns else lines

    # -- when, and what

    def _condition(self, one: Struck) -> str:
        fault = one.fault
        parts = ["not HEALED.is_set()"] * (self.again and fault.at.side != "executor")
        if self.overlapping and fault.operation is not None and fault.operation.index is not None:
            parts.append(f'self.path.name == "{PLACE_OF_SAVE.format(number=fault.operation.index)}"')
        if len(one.ranks) < self.ranks:
            parts.append(f"dist.get_rank() == {one.ranks[0]}" if len(one.ranks) == 1 else f"dist.get_rank() in {one.ranks}")
        if fault.site == "save_planner.resolve_data" and self.on_threads is not None:
            parts.append(f"threading.current_thread() is {'not ' * self.on_threads}threading.main_thread()")
        elif _counts(fault) or (self.again and fault.at.side == "executor" and not isinstance(fault.effect, (Kill, Exit))):
            others = sum(line.startswith("CALLS") for line in self.constants)
            name = f"CALLS_{others + 1}" if others else "CALLS"
            self.constants.append(f"{name} = itertools.count(1)")
            if fault.times is None:
                parts.append(f"next({name}) >= {fault.nth}")
            else:
                last = fault.nth + fault.times
                parts.append(f"next({name}) == {fault.nth}" if fault.times == 1 else f"next({name}) in range({fault.nth}, {last})")
        return " and ".join(parts)

    def _raise(self, one: Struck, error: str) -> list[str]:
        spelled = raising(error, one.fault.site, one.ranks)
        if spelled.block and spelled.block not in self.blocks:
            self.blocks.append(spelled.block)
        return list(spelled.lines)

    def _act(self, one: Struck, arguments: str) -> list[str]:
        """Statements of an effect that needs no result of the call."""
        effect, site = one.fault.effect, one.fault.at
        if isinstance(effect, Raise):
            return self._raise(one, effect.error)
        if isinstance(effect, Skip):
            if site.name in ("writer.write_data", "reader.read_data"):
                done = "[]" if site.side == "writer" else "None"
                return ["done = torch.futures.Future()", f"done.set_result({done})", "return done  # though nothing was done"]
            given = arguments.partition(",")[0] if site.result in ("argument", "list") else ""
            return [f"return {given}".rstrip() + "  # and does nothing"]
        return _stall(effect)

    def _act_late(self, one: Struck) -> list[str]:
        effect, site = one.fault.effect, one.fault.at
        if isinstance(effect, WrongResult) and site.is_future:
            return ["written = result.value()", f"result.value = lambda: {_falsified(effect, 'written')}"]
        if isinstance(effect, WrongResult):
            if site.result == "plans" and effect.kind != "none":
                return [f"return {_falsified(effect, 'result[0]')}, result[1]"]
            return [f"return {_falsified(effect, 'result')}"]
        if site.name == "stager.stage.future":
            return self._stage_late(one)
        if isinstance(effect, FailFuture):
            return ["def fail():", *_indented(self._raise(one, effect.error)), f"result.{effect.at} = fail"]
        if site.is_future:
            return ["def wait():", *_indented(_stall(effect)), "result.wait = wait"]
        return self._act(one, "")

    def _stage_late(self, one: Struck) -> list[str]:
        """Replaces the future of a staging by one that ends otherwise; DCP asks whether it has ended, so one that fails has done so by then."""
        effect = one.fault.effect
        if isinstance(effect, FailFuture):
            failing = ["def fail():", *_indented(self._raise(one, effect.error)), "result = self._staging_executor.submit(fail)"]
            return [*failing, "result.exception()  # has failed when async_save looks at it"]
        if isinstance(effect, (Hang, NeverComplete)):
            return ["result = self._staging_executor.submit(time.sleep, 3600)  # never completes"]
        if not isinstance(effect, Delay):
            return _stall(effect)
        late = ["def complete(staged=result):", *_indented([*_stall(effect), "return staged.result()"])]
        return [*late, "result = self._staging_executor.submit(complete)"]


def _stall(effect: Effect) -> list[str]:
    if isinstance(effect, (Hang, NeverComplete)):
        return ["time.sleep(3600)  # never returns"]
    if isinstance(effect, Delay):
        return [f"time.sleep({effect.seconds:g})"]
    if isinstance(effect, Kill):
        return ["os.kill(os.getpid(), signal.SIGKILL)"]
    if isinstance(effect, Exit):
        return ["os._exit(1)"]
    assert isinstance(effect, Stop), f"{effect} is no effect that stalls"
    waker = [f'subprocess.Popen(["sh", "-c", f"sleep {effect.seconds:g}; kill -CONT {{os.getpid()}}"])'] * math.isfinite(effect.seconds)
    return [*waker, "os.kill(os.getpid(), signal.SIGSTOP)"]


def _falsified(effect: WrongResult, value: str) -> str:
    return {"none": "None", "short": f"{value}[:-1]", "duplicate": f"[*{value}[:1], *{value}]"}[effect.kind]


def _is_late(fault: Fault) -> bool:
    return fault.after or fault.at.is_future or isinstance(fault.effect, WrongResult)


def _ends(effect: Effect) -> bool:
    """Whether the rank gets no further."""
    return isinstance(effect, (Raise, Skip, Hang, Kill, Exit)) or (isinstance(effect, Stop) and math.isinf(effect.seconds))


def _counts(fault: Fault) -> bool:
    """Whether a script must count calls to know which one is struck."""
    if fault.nth > 1:
        return True
    if fault.times is None or not fault.at.several:
        return False
    again = isinstance(fault.effect, Raise) and fault.site in _CALLED_ON
    return again or isinstance(fault.effect, Skip) or not _ends(fault.effect)


def _guarded(condition: str, lines: list[str]) -> list[str]:
    return [f"if {condition}:", *_indented(lines)] if condition else lines


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


# -- signatures, which are the engine's own: it looks at some of them


def _head(method: str, side: str) -> list[str]:
    taken = _arguments(side, method)[0]
    return ["@property"] * (method == "checkpoint_id") + [f"def {method}({', '.join(['self', *([taken] if taken else [])])}):"]


def _plainly(call: str, side: str, method: str) -> str:
    """The call as the last statement of a method."""
    return call if SITES[f"{side}.{method}"].result == "nothing" else f"return {call}"


def _arguments(side: str, method: str) -> tuple[str, str]:
    """The parameters of a method, and the arguments that pass them on."""
    if side == "state":
        return ("state_dict", "state_dict") if method == "load_state_dict" else ("", "")
    found: Any = getattr(operator.attrgetter(_CLASSES[side][1].partition(".")[2])(dcp), method)
    if isinstance(found, property):
        return "", ""
    parameters = list(inspect.signature(found).parameters.values())[1:]
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [f"{stars.get(one.kind, '')}{one.name}" for one in parameters]
    defaults = ["" if one.default is inspect.Parameter.empty else f"={one.default!r}" for one in parameters]
    return ", ".join(f"{name}{default}" for name, default in zip(names, defaults, strict=True)), ", ".join(names)
