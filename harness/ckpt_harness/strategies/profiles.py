"""Profiles: how long hypothesis searches."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

from ckpt_harness.errors import UsageError, unknown

PROFILES: tuple[str, ...] = ("quick", "ci", "soak")
"""The profiles, shortest first."""

PROFILE_VARIABLE = "CKPT_HARNESS_PROFILE"
"""Environment variable that names the profile."""


def _settings() -> dict[str, settings]:
    # No deadline, and no check for slow drawing: how long a case takes depends on the machine, and hangs are judged by the world, not by a clock.
    # No explanations: they run a shrunk plan a few hundred times more to find what does not matter about it, where the few words of the plan and its
    # story say enough.
    # The base is hypothesis' own default and not the current profile, which may be one of these.
    phases = tuple(phase for phase in Phase if phase is not Phase.explain)
    shared = settings(settings.get_profile("default"), deadline=None, phases=phases, suppress_health_check=[HealthCheck.too_slow])
    return {
        "quick": settings(shared, max_examples=25, derandomize=True, database=None),
        "ci": settings(shared, max_examples=200, print_blob=True),
        "soak": settings(shared, max_examples=5_000, print_blob=True),
    }


def load_profile(name: str | None = None) -> str:
    """Makes a profile hypothesis' current profile.

    The profiles are registered as ``ckpt-quick``, ``ckpt-ci`` and ``ckpt-soak``, so that a suite's own profile ``ci`` stays what it is.

    Args:
        name: ``quick`` (25 examples, the same every time), ``ci`` (200) or ``soak`` (5,000). Default: the value of the environment variable
            ``CKPT_HARNESS_PROFILE``, else ``quick``.

    Returns:
        The profile's name.

    Raises:
        UsageError: no profile has this name.
    """
    chosen = name or os.environ.get(PROFILE_VARIABLE) or "quick"
    if chosen not in PROFILES:
        raise UsageError(unknown("profile", chosen, PROFILES))
    for short, profile in _settings().items():
        settings.register_profile(f"ckpt-{short}", profile)
    settings.load_profile(f"ckpt-{chosen}")
    return chosen
