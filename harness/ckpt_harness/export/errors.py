"""The errors of plans, spelled as a script raises them that knows nothing of the harness."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ckpt_harness.errors import UsageError
from ckpt_harness.faults import error_specs as zoo

_NEED_A_CLASS = {
    "unloadable": '''\
class Unloadable(RuntimeError):
    def __init__(self, code, message):
        super().__init__(message)  # as many clients do: pickle calls the class with args alone''',
    "control": '''\
class Control(BaseException):
    """What `except Exception` lets through."""''',
}
_PLAIN = ("InjectedFault", "Unpicklable")
"""Classes of the harness that a script does without."""


@dataclass(frozen=True)
class Raising:
    """How a script raises an error.

    Attributes:
        lines: the statements.
        block: the class that they need, at the top level of the script, or "".
    """

    lines: tuple[str, ...]
    block: str = ""


def raising(spec: str, site: str, ranks: Sequence[int]) -> Raising:
    """Spells the error ``spec``, as :func:`ckpt_harness.faults.error_specs.check` accepts it, with the message that the harness gives it.

    Args:
        spec: the error.
        site: where it is raised.
        ranks: on which ranks.

    Raises:
        UsageError: it is of a class that only its author's machine knows.
    """
    name, _, number = spec.partition(":")
    where = f"injected at {site} on rank {{rank}}"
    text = _text(spec, where, ranks)
    if number:
        return Raising((f"raise OSError(errno.{number}, {text})",))
    if name == "unpicklable":
        return Raising((f"error = RuntimeError({text})", "error.handle = lambda: None  # cannot be pickled, nor can a lock or a connection", "raise error"))
    if name == "local":
        return Raising(("class Local(RuntimeError):", '    """Pickle does not find it."""', "", f"raise Local({text})"))
    if name == "caused":
        return Raising((f'raise RuntimeError({text}) from OSError(errno.EIO, "Input/output error")',))
    if name == "huge":
        return Raising((f'raise RuntimeError({text}.ljust({zoo.HUGE}, "x"))',))
    if name in _NEED_A_CLASS:
        return Raising((f"raise {name.capitalize()}({'503, ' * (name == 'unloadable')}{text})",), _NEED_A_CLASS[name])
    if name in ("InjectedFault", "unicode"):
        return Raising((f"raise RuntimeError({text})",))
    return Raising((f"raise {_importable(name)}({text})",))


def _text(spec: str, where: str, ranks: Sequence[int]) -> str:
    """The message as a literal: that which the harness's own error carries, with the rank looked up where there are several."""
    rank = str(ranks[0]) if len(ranks) == 1 else "{dist.get_rank()}"
    message = where.replace("{rank}", rank)
    if spec.partition(":")[1] or spec == "unicode":
        made = zoo.make(spec, message)
        message = str(made.args[-1])
    return "f" * (len(ranks) > 1) + json.dumps(message, ensure_ascii=False)


def _importable(name: str) -> str:
    home = name.partition(".")[0]
    if home not in (name, "torch") and home not in sys.stdlib_module_names:
        choices = f"a builtin, or one of the zoo: {', '.join(zoo.ZOO)}"
        raise UsageError(f"error {name!r} cannot be exported: stand-alone scripts know torch only; valid: {choices}")
    return name


def as_scripts_say(text: str) -> str:
    """``text`` of an error of the harness with the names that a script uses."""
    for name in _PLAIN:
        text = text.replace(f"{name}(", "RuntimeError(")
    return text
