"""DCP-037: A load that asks for less than the checkpoint holds reports success.

One process saves and loads. Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import sys
import tempfile
import warnings

import torch
import torch.distributed.checkpoint as dcp

SAVED = {
    "a list": ({"layers": [torch.ones(2), torch.ones(2), torch.ones(2)]}, {"layers": [torch.zeros(2), torch.zeros(2)]}),
    "a nested dictionary": ({"groups": {"a": torch.ones(1), "b": torch.ones(1)}}, {"groups": {"a": torch.zeros(1)}}),
    "a key": ({"model": torch.ones(1), "optimizer": torch.ones(1)}, {"model": torch.zeros(1)}),
}


def main():
    for what, (saved, target) in SAVED.items():
        with tempfile.TemporaryDirectory() as place:
            dcp.save(saved, checkpoint_id=place)
            stored = set(dcp.FileSystemReader(place).read_metadata().state_dict_metadata)
            with warnings.catch_warnings(record=True) as warned:
                returned = dcp.load(target, checkpoint_id=place)
        about_it = [str(warning.message) for warning in warned if "key" in str(warning.message)]
        print(f"{what}: the checkpoint holds {sorted(stored)}; load into {target} returned {returned}; warnings about it: {about_it}")
        if returned is not None or about_it:
            sys.exit("not as recorded")
    missing = {"layers": [torch.zeros(2)] * 2}
    with tempfile.TemporaryDirectory() as place:
        dcp.save({"layers": [torch.ones(2)]}, checkpoint_id=place)
        try:
            dcp.load(missing, checkpoint_id=place)
        except dcp.api.CheckpointException as error:
            print(f"the other way round: {error.failures[0][0]}")
        else:
            sys.exit("not as recorded")
    print("wrong: what the checkpoint holds and the target lacks is left out, and the load reports success")


if __name__ == "__main__":
    main()
