"""The faults of a plan as classes and functions of a script: the engine's own, with the struck method overridden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ckpt_harness.errors import UsageError
from ckpt_harness.export import executors
from ckpt_harness.export.errors import raising
from ckpt_harness.export.methods import CLASSES, STATEFUL, final_statement, head, signature_of
from ckpt_harness.export.statements import counts, ends, falsified, guarded, indented, is_late, stall
from ckpt_harness.export.struck import Struck
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects import Delay, Exit, FailFuture, Hang, Kill, NeverComplete, Raise, Skip, WrongResult

STAGERS = {"blocking": "dcp.staging.BlockingAsyncStager", "background": "dcp.staging.DefaultStager"}
"""Staging by a stager of the caller's -> the class of it."""
IN_BACKGROUND = "dcp.staging.StagingOptions(False, True, True, False)"
"""What a stager is made with that copies on a thread: pinned memory and copies that do not block need an accelerator."""
PLACE_OF_SAVE = "checkpoint_{number}"
"""Where each of two saves goes that are under way at once."""
_OF_GROUPS = {"all_gather": "allgather"}
"""Collectives whose method of a process group has another name."""
_OF_THE_RANK = ("state", "pg")
"""Sides whose calls belong to no object of one operation."""
LATEST = 20.0
"""Seconds that a script waits for a late rank, at most."""


@dataclass
class Faults:
    """Builds what a script needs for its faults.

    Args:
        struck: the faults.
        ranks: size of the world.
        on_threads: None, or whether what struck ``resolve_data`` did so on a writer thread: which of several threads comes first is up to chance.
        staging: what copies the state of an async save.
        again: whether ranks try again, and nothing strikes them then.
        overlapping: whether two saves are under way at once, and each fault strikes only one of the saves.
        of_calls: whether each fault strikes one operation of a job. The script notes in its objects, or in ``DOING``, which operation uses them.

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
    of_calls: bool = False
    blocks: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.heals:
            self.constants.append("HEALED = threading.Event()")
        if self.notes_operations:
            self.constants.append('DOING = [""]  # the operation that the rank does')
        by_side: dict[str, dict[str, list[Struck]]] = {}
        for struck in self.struck:
            method = struck.fault.at.method.removesuffix(".future")
            by_side.setdefault(struck.fault.at.side, {}).setdefault(method, []).append(struck)
        for side, methods in by_side.items():
            if side == "pg":
                for method, strikes in methods.items():
                    self._collective(method, strikes)
            elif side == "executor":
                self.constants += [executors.PROCESS, executors.MAIN, *["SAVE = PROCESS._execute_save"] * ("save" in methods)]
                self.blocks += executors.processes(methods, lambda struck: self._act(struck, ""), self._body)
                self.patches.append(executors.PATCH)
            else:
                self._class(side, methods)

    @property
    def heals(self) -> bool:
        """Whether the script heals its faults for the retry. Processes that are started for the retry have no faults to heal."""
        return self.again and any(struck.fault.at.side != "executor" for struck in self.struck)

    @property
    def notes_operations(self) -> bool:
        """Whether a fault of a job strikes a call that belongs to no storage or planner, so that the script notes which operation a rank does."""
        return self.of_calls and any(self.names(side) for side in _OF_THE_RANK)

    def names(self, side: str) -> bool:
        """Whether a fault struck on ``side``, so that the script has a class for it."""
        return any(struck.fault.at.side == side for struck in self.struck)

    # -- classes and functions

    def _class(self, side: str, methods: dict[str, list[Struck]]) -> None:
        if side not in CLASSES:
            raise UsageError(f"faults at {side}.* cannot be exported yet; valid: {', '.join(CLASSES)}, pg")
        name, base = CLASSES[side]
        if side == "stager":
            base = STAGERS.get(self.staging, base)
            self.patches += ["dcp.state_dict_saver.DefaultStager = Stager"] * (self.staging == "engine")
        methods_of_class = [self._method(side, method, strikes) for method, strikes in methods.items()]
        if side == "state":  # DCP takes an object for a Stateful only if it has both methods
            unstruck = {method: call for method, call in STATEFUL.items() if method not in methods}
            methods_of_class += [[*head(method, side), f"    {final_statement(call, side, method)}"] for method, call in unstruck.items()]
        if side == "stager" and self.staging == "background":
            methods_of_class.insert(0, ["def __init__(self):", f"    super().__init__({IN_BACKGROUND})"])
        lines = [f"class {name}({base}):"]
        if self.of_calls and side not in _OF_THE_RANK:
            lines += ['    call = ""  # the operation that uses the object', ""]
        for number, method in enumerate(methods_of_class):
            lines += [""] * (number > 0) + indented(method)
        self.blocks.append("\n".join(lines))

    def _method(self, side: str, method: str, strikes: Sequence[Struck]) -> list[str]:
        arguments = signature_of(side, method)[1]
        passing = "" if method == "checkpoint_id" else f"({arguments})"
        call = STATEFUL[method] if side == "state" else f"super().{method}{passing}"
        return head(method, side) + indented(self._body(strikes, call, final_statement(call, side, method), arguments))

    def _collective(self, method: str, strikes: Sequence[Struck]) -> None:
        of_group = _OF_GROUPS.get(method, method)
        self.constants.append(f"{method.upper()} = dist.ProcessGroup.{of_group}")
        call = f"{method.upper()}(*args, **kwargs)"
        lines = [f"def {method}(*args, **kwargs):", *indented(self._body(strikes, call, f"return {call}", ""))]
        self.blocks.append("\n".join(lines))
        self.patches.append(f"dist.ProcessGroup.{of_group} = {method}")

    def _body(self, strikes: Sequence[Struck], call: str, final: str, arguments: str) -> list[str]:
        """What a method does: the faults that come first, the call, and the faults that come after it."""
        early = [struck for struck in strikes if not is_late(struck.fault)]
        late = [struck for struck in strikes if is_late(struck.fault)]
        lines: list[str] = []
        for struck in early:
            condition = self._condition(struck)
            lines += guarded(condition, self._act(struck, arguments))
            if not condition and ends(struck.fault.effect):
                return lines
        if not late:
            return [*lines, final]
        returns = final.startswith("return ")
        lines.append(f"result = {call}" if returns else call)
        if late[0].fault.at.side == "pg":
            lines.append("result.wait()")
        for struck in late:
            condition = self._condition(struck)
            lines += guarded(condition, self._act_late(struck))
            if not condition and (ends(struck.fault.effect) or lines[-1].startswith("return ")):
                return lines
        return [*lines, "return result"] if returns else lines

    # -- when, and what

    def _condition(self, struck: Struck) -> str:
        fault = struck.fault
        parts = ["not HEALED.is_set()"] * (self.again and fault.at.side != "executor")
        if self.overlapping and fault.operation is not None and fault.operation.index is not None:
            parts.append(f'self.path.name == "{PLACE_OF_SAVE.format(number=fault.operation.index)}"')
        if self.of_calls:
            parts.append(f'DOING == ["{fault.operation}"]' if fault.at.side in _OF_THE_RANK else f'self.call == "{fault.operation}"')
        if len(struck.ranks) < self.ranks:
            parts.append(f"dist.get_rank() == {struck.ranks[0]}" if len(struck.ranks) == 1 else f"dist.get_rank() in {struck.ranks}")
        if fault.site == "save_planner.resolve_data" and self.on_threads is not None:
            parts.append(f"threading.current_thread() is {'not ' * self.on_threads}threading.main_thread()")
        elif counts(fault) or (self.again and fault.at.side == "executor" and not isinstance(fault.effect, (Kill, Exit))):
            others = sum(line.startswith("CALLS") for line in self.constants)
            name = f"CALLS_{others + 1}" if others else "CALLS"
            self.constants.append(f"{name} = itertools.count(1)")
            if fault.times is None:
                parts.append(f"next({name}) >= {fault.nth}")
            else:
                last = fault.nth + fault.times
                parts.append(f"next({name}) == {fault.nth}" if fault.times == 1 else f"next({name}) in range({fault.nth}, {last})")
        return " and ".join(parts)

    def _raise(self, struck: Struck, error: str) -> list[str]:
        spelled = raising(error, struck.fault.site, struck.ranks)
        if spelled.block and spelled.block not in self.blocks:
            self.blocks.append(spelled.block)
        return list(spelled.lines)

    def _act(self, struck: Struck, arguments: str) -> list[str]:
        """Statements of an effect that needs no result of the call."""
        effect, site = struck.fault.effect, struck.fault.at
        if isinstance(effect, Raise):
            return self._raise(struck, effect.error)
        if isinstance(effect, Skip):
            if site.name in ("writer.write_data", "reader.read_data"):
                done = "[]" if site.side == "writer" else "None"
                return ["done = torch.futures.Future()", f"done.set_result({done})", "return done  # though nothing was done"]
            given = arguments.partition(",")[0] if site.result in ("argument", "list") else ""
            return [f"return {given}".rstrip() + "  # and does nothing"]
        return stall(effect)

    def _act_late(self, struck: Struck) -> list[str]:
        """Statements of an effect that comes after the call, whose result is in the variable ``result``."""
        effect, site = struck.fault.effect, struck.fault.at
        if site.name == "stager.stage.future":
            return self._stage_late(struck)
        if site.is_future:
            return self._future_late(struck)
        if isinstance(effect, WrongResult):
            if site.result == "plans" and effect.kind != "none":
                return [f"return {falsified(effect, 'result[0]')}, result[1]"]
            return [f"return {falsified(effect, 'result')}"]
        return self._act(struck, "")

    def _future_late(self, struck: Struck) -> list[str]:
        """Changes or replaces the future of a storage."""
        effect = struck.fault.effect
        if isinstance(effect, WrongResult):
            return ["written = result.value()", f"result.value = lambda: {falsified(effect, 'written')}"]
        if isinstance(effect, FailFuture) and effect.at == "wait":
            return self._failed_future(struck, effect.error)
        if isinstance(effect, FailFuture):
            return ["def fail():", *indented(self._raise(struck, effect.error)), "result.value = fail"]
        if isinstance(effect, NeverComplete):
            return ["result = torch.futures.Future()  # never completes"]
        return ["def wait():", *indented(stall(effect)), "result.wait = wait"]

    def _failed_future(self, struck: Struck, error: str) -> list[str]:
        """Replaces the future of a storage by a failed future of torch, which is what the engine gets from a storage that fails."""
        raised = indented(self._raise(struck, error))
        if isinstance(error_specs.injected(error, struck.fault.site, struck.ranks[0]), Exception):
            return ["try:", *raised, "except Exception as error:", *indented(["result = torch.futures.Future()", "result.set_exception(error)"])]
        fails = "result._set_unwrap_func(fail)  # which set_exception does, for an Exception only"
        return ["def fail(_):", *raised, "result = torch.futures.Future()", fails, "result.set_result(None)"]

    def _stage_late(self, struck: Struck) -> list[str]:
        """Replaces the future of a staging by a future that ends otherwise. DCP asks whether it has ended, so a future that fails has failed by then."""
        effect = struck.fault.effect
        if isinstance(effect, FailFuture):
            failing = ["def fail():", *indented(self._raise(struck, effect.error)), "result = self._staging_executor.submit(fail)"]
            return [*failing, "result.exception()  # has failed when async_save looks at it"]
        if isinstance(effect, (Hang, NeverComplete)):
            return ["result = self._staging_executor.submit(time.sleep, 3600)  # never completes"]
        if not isinstance(effect, Delay):
            return stall(effect)
        late = ["def complete(staged=result):", *indented([*stall(effect), "return staged.result()"])]
        return [*late, "result = self._staging_executor.submit(complete)"]
