"""Tries releases of torch and Python, each pair in an environment of its own.

``nox`` runs all pairs of releases/matrix.toml, and ``nox -t oldest newest`` the two ends. The results are recorded in docs/reference/versions.json.
``nox -t newest -- --only sweep`` runs one step; ``nox -s smoke`` is the short form for CI, which records nothing; ``nox -s page`` writes the page.

An environment takes up to 6 GB of disk. A Python that is not installed is skipped: nox looks for commands such as ``python3.13``.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"  # with uv, environments share the files of their packages
nox.options.sessions = ["releases"]

PAIRS = nox.project.load_toml("releases/matrix.toml")["pair"]
PARAMETERS = [nox.param(pair["python"], pair["torch"], id=f"torch {pair['torch']}, Python {pair['python']}", tags=pair.get("tags", [])) for pair in PAIRS]


@nox.session
@nox.parametrize("python,torch", PARAMETERS)
def releases(session: nox.Session, torch: str) -> None:
    """Tries a pair of torch and Python, and records the result."""
    _install(session, torch)
    session.run("python", "releases/record.py", *session.posargs)


@nox.session
def smoke(session: nox.Session) -> None:
    """Runs the sweep and the crashes on the newest torch and this Python, and records nothing."""
    _install(session, PAIRS[-1]["torch"])
    session.run("python", "releases/record.py", "--only", "sweep", "--only", "crash", "--no-record")


@nox.session(python=False)
def page(session: nox.Session) -> None:
    """Writes docs/reference/versions.md from the records."""
    session.run("python", "releases/page.py")


def _install(session: nox.Session, torch: str) -> None:
    session.install("--editable", ".[dev]", f"torch=={torch}")  # editable, since tests read docs/ beside the library
