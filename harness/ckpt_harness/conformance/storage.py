"""What users of DCP may expect of a storage writer and reader, as tests that a class inherits.

Faults strike around the storage (its methods fail), within the storage (the planner that it calls fails) and below the storage (the disk fails),
and stored files are damaged. All ranks are simulated.
"""

from __future__ import annotations

from ckpt_harness.conformance.calls import Calls, CallStyles
from ckpt_harness.conformance.disk import CrashStates, Disk
from ckpt_harness.conformance.failures import Failures
from ckpt_harness.conformance.stored import Damage, Overwriting


class StorageConformance(Failures, Calls, CallStyles, Disk, Overwriting, Damage, CrashStates):
    """Tests of a storage back end. Inherit in a class called ``Test...``, define ``make_writer`` and ``make_reader``, and run pytest on the file.

    ``capabilities`` says what the storage claims; a test of another capability is skipped, and pytest's summary names capabilities that held
    though they are not claimed. ``register`` names a file of known findings, which become expected failures. A failure prints its replay line.
    See :class:`ckpt_harness.conformance.base.Conformance`.

    Example:
        A whole test file::

            from ckpt_harness import StorageConformance
            from shelf import ShelfReader, ShelfWriter

            class TestShelf(StorageConformance):
                capabilities = {"collectives", "commit marker"}

                def make_writer(self, place):
                    return ShelfWriter(place)

                def make_reader(self, place):
                    return ShelfReader(place)
    """
