"""What type checkers say of a client's files: they see the whole public face of the installed wheel, with its types."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from home import Home

CLIENT = Path(__file__).parent / "client"
CHECKERS = {
    "mypy": ("--strict", "--no-error-summary"),
    "pyright": (),
}


def _reported(output: str) -> set[str]:
    """``wrong.py:10`` for each error, as both checkers print them; a note that explains an error is none."""
    return {f"{Path(name).name}:{line}" for name, line in re.findall(r"^\s*(\S+\.py):(\d+)(?::\d+)?(?: -|:) error", output, re.MULTILINE)}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_reports_the_mistakes_of_a_client_and_nothing_else(home: Home, checker: str) -> None:
    """An unknown name, an unknown attribute and a wrong argument are errors; a correct client has none."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    files = sorted(CLIENT.glob("*.py"))
    status, output = home.run("python", "-m", checker, *CHECKERS[checker], *map(str, files), PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    marked = {
        f"{path.name}:{number}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith("  # error")
    }
    assert _reported(output) == marked, output
    assert status == 1, output
