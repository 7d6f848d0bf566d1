"""One environment with the harness installed, for all tests of this directory."""

from __future__ import annotations

import pytest
from home import Home, make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Built once in a session; tests that use the fixture run on one worker of xdist."""
    return make_home(tmp_path_factory.mktemp("home"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``, one worker runs these tests, so that one environment is made."""
    for item in items:
        if "home" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("installed"))
