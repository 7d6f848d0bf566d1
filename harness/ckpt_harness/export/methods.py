"""Methods of a script's classes: their names, parameters and calls, which are those of the engine, since it looks at some of them."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import torch.distributed.checkpoint as dcp

from ckpt_harness.faults.sites import SITES

CLASSES = {
    "writer": ("Writer", "dcp.FileSystemWriter"),
    "reader": ("Reader", "dcp.FileSystemReader"),
    "save_planner": ("Planner", "dcp.DefaultSavePlanner"),
    "load_planner": ("Planner", "dcp.DefaultLoadPlanner"),
    "state": ("Model", "SimpleNamespace"),
    "stager": ("Stager", "dcp.staging.DefaultStager"),
}
"""Side -> what its class in a script is called, and derives from."""
STATEFUL = {"state_dict": "dict(vars(self))", "load_state_dict": "vars(self).update(state_dict)"}
"""Method of a ``Stateful`` -> what it does in a script."""


def head(method: str, side: str) -> list[str]:
    """The first lines of a method that overrides the engine's."""
    taken = signature_of(side, method)[0]
    return ["@property"] * (method == "checkpoint_id") + [f"def {method}({', '.join(['self', *([taken] if taken else [])])}):"]


def final_statement(call: str, side: str, method: str) -> str:
    """The call as the last statement of a method."""
    return call if SITES[f"{side}.{method}"].result == "nothing" else f"return {call}"


def signature_of(side: str, method: str) -> tuple[str, str]:
    """The parameters of a method, and the arguments that pass them on."""
    if side == "state":
        return ("state_dict", "state_dict") if method == "load_state_dict" else ("", "")
    method_of_dcp: Any = getattr(operator.attrgetter(CLASSES[side][1].partition(".")[2])(dcp), method)
    if isinstance(method_of_dcp, property):
        return "", ""
    parameters = list(inspect.signature(method_of_dcp).parameters.values())[1:]
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [f"{stars.get(parameter.kind, '')}{parameter.name}" for parameter in parameters]
    defaults = ["" if parameter.default is inspect.Parameter.empty else f"={parameter.default!r}" for parameter in parameters]
    return ", ".join(f"{name}{default}" for name, default in zip(names, defaults, strict=True)), ", ".join(names)
