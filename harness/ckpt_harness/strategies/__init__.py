"""Hypothesis strategies for plans, their parts and jobs, and the profiles that say how long to search.

Every plan that is drawn binds, by construction: nothing is filtered, so nothing is wasted. Plans shrink towards what a human would write: fewer
faults, fewer and lower ranks, the first call, no addressing, before the call, a plain error. To that end every fault is made from the same count of
small numbers, whether it needs them all or not: hypothesis prefers fewer draws to anything else, and would otherwise report a bare ``hang`` where
``raise`` fails as well.

torch's ``CheckpointException`` is a ``BaseException``: hypothesis neither shrinks nor reports it. A test under ``@given`` must catch it and fail
with ``OracleViolation``, which is an ``AssertionError``.
"""

from ckpt_harness.strategies.effects import ERRORS, effects_at, errors
from ckpt_harness.strategies.jobs import ckpt_jobs
from ckpt_harness.strategies.plans import bound_plans, fault_plans, faults
from ckpt_harness.strategies.profiles import PROFILE_VARIABLE, PROFILES, load_profile
from ckpt_harness.strategies.sites import coordinators, disk_sites, guarded_sites, network_sites, storage_sites, world_sizes

__all__ = [
    "ERRORS",
    "PROFILES",
    "PROFILE_VARIABLE",
    "bound_plans",
    "ckpt_jobs",
    "coordinators",
    "disk_sites",
    "effects_at",
    "errors",
    "fault_plans",
    "faults",
    "guarded_sites",
    "load_profile",
    "network_sites",
    "storage_sites",
    "world_sizes",
]
