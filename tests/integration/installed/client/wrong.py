"""A client's mistakes. A type checker reports every line that says so, and no other."""

from __future__ import annotations

import ckpt_harness
from ckpt_harness import Case, FaultPlan, FaultyStorageWriter, Raise, Rig, StorageConformance, assert_propagated, check_engine, inject

FaultPlan.nonsense(1)  # error
FaultPlan.parse(1)  # error
assert_propagated("x", 17)  # error
ckpt_harness.assert_propagate(ValueError(), "")  # error
check_engine(17)  # error
check_engine("filesystem", rank=2)  # error
Raise(spec="OSError", bound=1)  # error
Case("writer.write_data@1=raise", "save", "two")  # error
FaultyStorageWriter()  # error
with inject("save[3]/write@0=raise(OSError:EIO)") as faults:
    print(faults.fried)  # error
with inject(17):  # error
    print("not reached")
with Rig() as rig:
    print(rig.run("writer.write_data@1=raise"))  # error


class TestMine(StorageConformance):
    capabilities = 17  # error

    def committed(self, place: int) -> bool:  # error
        return place == 1


def misspelled() -> object:
    from ckpt_harness import FaultPlna  # error

    return FaultPlna
