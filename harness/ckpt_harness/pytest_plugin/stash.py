"""Where pytest's configuration keeps the :class:`Session` of the plugin, which is made when a test first needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ckpt_harness.pytest_plugin.session import Session

_KEY: pytest.StashKey[Session] = pytest.StashKey()


def session_of(config: pytest.Config) -> Session:
    """Returns the session; makes it if there is none yet."""
    if _KEY not in config.stash:
        from ckpt_harness.pytest_plugin.session import Session

        config.stash[_KEY] = Session(config.getoption("ckpt_seed") or 0, config.getoption("ckpt_register"), config.getoption("ckpt_engine"))
    return config.stash[_KEY]


def session_if_any(config: pytest.Config) -> Session | None:
    """Returns the session, None if no test needed it."""
    return config.stash.get(_KEY, None)
