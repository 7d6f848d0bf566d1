"""Filling the templates of scripts: each script imports what it turns out to name."""

from __future__ import annotations

import re
import sys
from functools import cache

import jinja2

from ckpt_harness.export.faults import Faults

_STANDARD = ("contextlib", "errno", "itertools", "os", "shutil", "signal", "subprocess", "sys", "tempfile", "threading", "time")
"""Modules that a script may name."""
_NAMES = (
    ("concurrent.futures", "as_completed"),
    ("concurrent.futures", "Future"),
    ("datetime", "timedelta"),
    ("pathlib", "Path"),
    ("traceback", "extract_stack"),
    ("types", "SimpleNamespace"),
)
"""Module, and what a script may import from it."""
_OF_TORCH = {
    "import torch": "torch",
    "import torch.distributed as dist": "dist",
    "import torch.distributed.checkpoint as dcp": "dcp",
    "import torch.multiprocessing as mp": "mp",
}
"""Import -> the name that needs it."""


def fill(template: str, *, faults: Faults, **pieces: object) -> str:
    """Fills a template, and adds the imports that the pieces turn out to need.

    Args:
        template: its file.
        faults: the faults of the script.
        pieces: the other pieces, by the name that the template gives them.
    """
    made = _template(template)
    pieces |= {"healed": faults.heals, "blocks": faults.blocks, "constants": faults.constants, "patches": faults.patches}
    code = made.render(imports=[], of_torch=[], **pieces).split('"""', 2)[2]
    homes = {found.partition(".")[0] for found in re.findall(r"(?<![\w.\"'/])[a-z]\w*(?=\.\w)", code)} & ({*_STANDARD} | _homes(faults))
    names = [f"from {home} import {name}" for home, name in _NAMES if re.search(rf"(?<![\w.]){name}\b", code)]
    of_torch = [line for line, use in _OF_TORCH.items() if re.search(rf"(?<![\w.]){use}\.", code)]
    return made.render(imports=[*(f"import {home}" for home in sorted(homes)), *names], of_torch=of_torch, **pieces)


def _homes(faults: Faults) -> set[str]:
    """Modules of the standard library whose errors are raised."""
    errors = {getattr(struck.fault.effect, "error", "") for struck in faults.struck}
    return {home for home, dot, _ in (error.partition(".") for error in errors) if dot and home in sys.stdlib_module_names}


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("ckpt_harness.export", "")
    environment = jinja2.Environment(loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False)
    return environment.get_template(name)
