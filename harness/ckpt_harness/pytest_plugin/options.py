"""The plugin's options and marks, and the header that shows which options a session runs with."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ckpt_harness.pytest_plugin.names import ATTACH, FIXTURES, NEEDS, PROFILE_VARIABLE, RANKS, RUNS_IN, WORLDS
from ckpt_harness.pytest_plugin.stash import session_of

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("ckpt-harness", "fault injection for distributed checkpointing")
    group.addoption(
        "--ckpt-world",
        choices=WORLDS,
        help="what runs the ranks; a test whose mark ckpt_runs_in does not list the world is skipped. Default: the first world of the mark",
    )
    group.addoption(
        "--ckpt-engine", metavar="NAME", help="engine of all cases that name no engine; tests that need more than it claims are skipped"
    )
    group.addoption("--ckpt-seed", type=int, metavar="N", help="seed of the order in which simulated ranks run; default 0")
    group.addoption(
        "--ckpt-profile",
        choices=("quick", "ci", "soak"),
        help=f"how long hypothesis searches; default: the profile that {PROFILE_VARIABLE} names",
    )
    group.addoption(
        "--ckpt-register", type=Path, metavar="FILE", help="file of known findings, in addition to those that ship with ckpt-harness"
    )
    group.addoption(
        "--ckpt-matrix", choices=("show", "hide"), default="show", help="failure matrix in the summary, if cases ran; default: show"
    )
    parser.addini(ATTACH, "under a launcher such as torchrun, --ckpt-world attached is the default", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marks, refuses options that cannot be used, and loads the hypothesis profile."""
    config.addinivalue_line("markers", f"{RANKS}(n): number of ranks of the fixture ckpt_world")
    config.addinivalue_line(
        "markers", f"{RUNS_IN}(world, ...): worlds in which the test can run, of {', '.join(WORLDS)}; the first is the default"
    )
    config.addinivalue_line(
        "markers", f"{NEEDS}(capability, ...): the test is skipped if the engine of --ckpt-engine does not claim all of these"
    )
    if config.getoption("ckpt_register"):
        session_of(config).register()
    if config.getoption("ckpt_engine"):
        from ckpt_harness.pytest_plugin import engines

        engines.check(config.getoption("ckpt_engine"))
    profile = config.getoption("ckpt_profile") or os.environ.get(PROFILE_VARIABLE)
    if profile:
        _load_profile(profile)


def _load_profile(profile: str) -> None:
    from ckpt_harness import strategies
    from ckpt_harness.errors import UsageError

    try:
        strategies.load_profile(profile)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def requested_world(config: pytest.Config) -> WorldName | None:
    """The world that the command line names; under a launcher ``attached``, if the configuration says so; else None."""
    requested: WorldName | None = config.getoption("ckpt_world")
    if requested is None and config.getini(ATTACH):
        from ckpt_harness.worlds.launcher import Launch

        return None if Launch.here() is None else "attached"
    return requested


def pytest_report_header(config: pytest.Config) -> str | None:
    """The header at the top of the report, if the options show that the plugin is in use."""
    return header(config) if _in_use(config) else None


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> str | None:
    """The header after the collection, if only the tests show that the plugin is in use."""
    if _in_use(config) or not any(FIXTURES.intersection(getattr(item, "fixturenames", ())) for item in items):
        return None
    return header(config)


def _in_use(config: pytest.Config) -> bool:
    options = ("ckpt_engine", "ckpt_seed", "ckpt_profile", "ckpt_register")
    return requested_world(config) is not None or any(config.getoption(name) is not None for name in options)


def header(config: pytest.Config) -> str:
    """One line with versions, seed, engine, world and hypothesis profile."""
    from importlib.metadata import version

    import ckpt_harness

    parts = [f"torch {version('torch')}", f"seed {config.getoption('ckpt_seed') or 0}"]
    if config.getoption("ckpt_engine"):
        parts.append(f"engine {config.getoption('ckpt_engine')}")
    if requested_world(config):
        parts.append(f"world {requested_world(config)}")
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None:
        parts.append(f"profile {hypothesis.settings.get_current_profile_name()}")
    return f"ckpt-harness {ckpt_harness.__version__}: {', '.join(parts)}"
