"""DCP-041: In the safetensors format, of several shards of a tensor on one rank only the last is stored.

One process saves a ShardedTensor of two shards. Plain torch. Exits with 0 if the finding shows, with 1 if not.
"""

import sys
import tempfile

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed._shard import sharded_tensor


def two_shards(values: list[torch.Tensor]) -> sharded_tensor.ShardedTensor:
    """A tensor of four elements, in two shards."""
    shards = [sharded_tensor.Shard.from_tensor_and_offsets(value, [2 * number], rank=0) for number, value in enumerate(values)]
    return sharded_tensor.init_from_local_shards(shards, 4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        dist.init_process_group("gloo", init_method=f"file://{root}/store", rank=0, world_size=1)
        state = {"weight": two_shards([torch.ones(2), torch.full((2,), 2.0)])}
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(f"{root}/checkpoint", save_distributed=True))
        loaded = [torch.zeros(2), torch.zeros(2)]
        dcp.load({"weight": two_shards(loaded)}, storage_reader=dcp.HuggingFaceStorageReader(f"{root}/checkpoint"))
        dist.destroy_process_group()
    values = torch.cat(loaded).tolist()
    print(f"saved [1.0, 1.0, 2.0, 2.0], loaded with success: {values}")
    if values != [0.0, 0.0, 2.0, 2.0]:
        sys.exit("not as recorded")
    print("wrong: the first shard was never stored, and the load left its target as it was")
