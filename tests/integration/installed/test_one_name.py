"""The installed harness takes one import name, ``ckpt_harness``: a project keeps packages of its own that are called ``harness`` and ``tests``."""

from __future__ import annotations

from pathlib import Path

import pytest
from home import Home

FILES = {
    "harness/__init__.py": 'OWNER = "the project"\n',
    "harness/plan.py": "STEPS = 3\n",
    "tests/__init__.py": "",
    "tests/helpers.py": "WORLD_SIZE = 3\n",
    "tests/test_project.py": """
from pathlib import Path

import pytest
import torch.distributed as dist

import harness
from harness.plan import STEPS
from tests.helpers import WORLD_SIZE


def size():
    return dist.get_world_size()


def test_harness_is_the_package_of_the_project():
    assert (harness.OWNER, STEPS) == ("the project", 3)
    assert Path(harness.__file__).parents[1] == Path(__file__).parents[1]


@pytest.mark.ckpt_ranks(WORLD_SIZE)
@pytest.mark.ckpt_runs_in("simulated", "processes")
def test_ranks_run(ckpt_world):
    assert ckpt_world.run(size).values == (3, 3, 3)
""",
}
"""A project, as its owner has it."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's directory."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "python -m pytest",
        "pytest --import-mode=importlib -o pythonpath=.",
        "python -m pytest --import-mode=importlib --ckpt-world processes",
    ],
)
def test_a_project_with_a_package_called_harness_passes_its_tests(home: Home, project: Path, command: str) -> None:
    """With both commands and import modes, on simulated ranks and on processes, ``import harness`` is the project's."""
    status, output = home.run(*command.split(), "-q", "-p", "no:cacheprovider", cwd=project)
    assert status == 0, output
    assert "2 passed" in output


def test_no_other_name_is_importable(home: Home) -> None:
    """Where no project is, there is neither a package ``harness`` nor one called ``tests`` or ``scenarios``."""
    names = ["harness", "tests", "scenarios", "conftest", "ckpt_harness"]
    status, output = home.run("python", "-c", f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])")
    assert (status, output) == (0, "['ckpt_harness']\n")


@pytest.mark.parametrize("command", ["ckpt-harness", "python -m ckpt_harness"])
def test_the_command_has_two_spellings(home: Home, command: str) -> None:
    """The program of the distribution, and the module; each calls itself what was typed."""
    status, output = home.run(*command.split(), "--help")
    assert status == 0, output
    assert f"Usage: {command} [OPTIONS] COMMAND" in output
