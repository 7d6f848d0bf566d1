"""Python imports this file at its start, if this directory is on ``PYTHONPATH``. Without a drill, and without a strike, nothing happens here."""

from __future__ import annotations

import importlib
import os
import sys


def _begin() -> None:
    """Puts the drill's agent into this process."""
    import importlib.util

    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  (pathlib costs a start-up)
    if "ckpt_harness" not in sys.modules:  # the program's environment may hold no ckpt_harness, or another release
        spec = importlib.util.spec_from_file_location("ckpt_harness", os.path.join(package, "__init__.py"), submodule_search_locations=[package])  # noqa: PTH118
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["ckpt_harness"] = module
        spec.loader.exec_module(module)
    from ckpt_harness.drill.inside.begin import begin

    begin()


def _run_the_next_sitecustomize() -> None:
    """Runs the ``sitecustomize`` that this file hides, as if this directory were not on the path."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]  # noqa: PTH100
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own


if __name__ == "sitecustomize":
    if os.environ.get("CKPT_HARNESS_DRILL") or os.environ.get("CKPT_HARNESS_STRIKE"):
        _begin()
    _run_the_next_sitecustomize()
