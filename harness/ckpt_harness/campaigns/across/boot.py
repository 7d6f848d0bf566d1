"""The program that the interpreter of another release runs: it loads the harness from where it lies, and hands over to it.

The folder that holds the harness may hold another torch, so it must not be on the path of imports. Any Python 3 can run this file, and say what it is.
"""

import importlib.util
import json
import os
import sys

OLDEST_PYTHON = (3, 10)
"""The oldest Python that the harness runs on."""
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120  (as any Python 3 has it)
"""The folder of the harness itself."""


def run(descriptor: int) -> None:
    """Does the jobs that come through stdin; see :mod:`ckpt_harness.campaigns.across.elsewhere`.

    Args:
        descriptor: where the answers are written.
    """
    del sys.path[0]  # the folder of this file, whose modules must not hide others
    if sys.version_info < OLDEST_PYTHON:
        look = {"python": ".".join(map(str, sys.version_info[:3]))}
        os.write(descriptor, json.dumps(look).encode() + b"\n")
        return
    spec = importlib.util.spec_from_file_location("ckpt_harness", os.path.join(PACKAGE, "__init__.py"), submodule_search_locations=[PACKAGE])  # noqa: PTH118
    assert spec is not None and spec.loader is not None, "a name that ends in .py has a loader"
    package = sys.modules["ckpt_harness"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    importlib.import_module("ckpt_harness.campaigns.across.elsewhere").main(descriptor)


if __name__ == "__main__":
    run(int(sys.argv[1]))
