"""What DCP's users may expect of a storage writer and reader, as tests that a class inherits.

    class TestMine(StorageConformance):
        capabilities = {"collectives", "commit marker"}

        def make_writer(self, place):
            return MyWriter(place)

        def make_reader(self, place):
            return MyReader(place)

The faults strike around the storage (its methods fail), within it (the planner that it calls fails), below it (the disk fails), and what it has
stored is damaged. Ranks are simulated.
"""

from __future__ import annotations

from ckpt_harness.conformance.calls import Calls, Ways
from ckpt_harness.conformance.disk import CrashStates, Disk
from ckpt_harness.conformance.failures import Failures
from ckpt_harness.conformance.stored import Damage, Overwriting


class StorageConformance(Failures, Calls, Ways, Disk, Overwriting, Damage, CrashStates):
    """The tests. Inherit, name your class ``Test...``, and say how to make a writer and a reader; see :class:`ckpt_harness.conformance.base.Conformance`."""
