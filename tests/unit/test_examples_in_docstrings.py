"""Every example in a docstring of the library runs, and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import re
from pathlib import Path
from types import ModuleType

import pytest

import ckpt_harness

ROOT = Path(ckpt_harness.__file__).parent
THIRD_PARTY = "ckpt_harness.engines.third_party."
SCRIPTS = ROOT / "findings/reproducers"
"""Stand-alone scripts, which run when they are imported; they have tests of their own."""


def _name(path: Path) -> str:
    """``.../ckpt_harness/worlds/base.py`` -> ``ckpt_harness.worlds.base``."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _examples(path: Path) -> int:
    """Number of examples in a file, as its text has them."""
    return len(re.findall(r"^\s*>>> ", path.read_text("utf-8"), re.MULTILINE))


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py")) if SCRIPTS not in path.parents and _examples(path)}
"""Name of each module with examples -> its file."""


def _module(name: str) -> ModuleType:
    """Imports a module; an engine whose package is not installed skips the test."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.startswith(THIRD_PARTY):
            pytest.skip(f"{name}: package {error.name} is not installed")
        raise


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # some examples save from one process without a group
@pytest.mark.parametrize("name", FILES)
def test_the_examples_of_a_module_show_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctest finds each example of the file, and each prints what stands below it."""
    monkeypatch.chdir(tmp_path)
    cases = [case for case in doctest.DocTestFinder().find(_module(name)) if case.examples]
    assert sum(len(case.examples) for case in cases) == _examples(FILES[name]), (
        "doctest does not find an example: does it stand in a docstring?"
    )
    runner, report = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), io.StringIO()
    for case in cases:
        runner.run(case, out=report.write)
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()


@pytest.mark.parametrize("name", ckpt_harness.__all__)
def test_every_public_name_shows_how_it_is_used(name: str) -> None:
    """Its docstring has an example: one that doctest runs, or a block under ``Example:`` where a test or an engine is needed."""
    text = inspect.cleandoc(getattr(ckpt_harness, name).__doc__ or "")
    assert re.search(r"^\s+>>> |^Example:\n+    \S", text, re.MULTILINE), text
