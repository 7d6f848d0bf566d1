#!/usr/bin/env bash
# torch 2.15.0: a process group written in Python cannot be created once it names its devices.
#
# A backend that `Backend.register_backend` registers may return a subclass of `ProcessGroup` written in Python. If the subclass
# has a property `_device_types` that is not empty, as DTensor and the object collectives ask for, then `init_process_group`
# of torch 2.15.0 raises "ProcessGroup name not set": the flight recorder is attached to every group that lists a device, and asks a
# C++ backend for the group's name, which such a group does not have. torch 2.14.1 creates the same group. With
# TORCH_FR_BUFFER_SIZE=0, torch 2.15.0 creates the group as well.
#
# Source: _maybe_attach_flight_recorder in torch/distributed/distributed_c10d.py of 2.15.0; it skips groups without devices only.
# Exits with 0 if this is still so, and with 1 if it changed. Downloads several gigabytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/group.py" <<'PYTHON'
import torch
import torch.distributed as dist


class PythonGroup(dist.ProcessGroup):
    def getBackendName(self):
        return "python"

    @property
    def _device_types(self):
        return [torch.device("cpu")]

    def _get_backend(self, device):
        return self


dist.Backend.register_backend("python", lambda store, rank, size, timeout: PythonGroup(rank, size), devices=["cpu"])
try:
    dist.init_process_group("python", store=dist.HashStore(), rank=0, world_size=1)
except RuntimeError as error:
    print(torch.__version__.partition("+")[0], str(error).splitlines()[0])
else:
    print(torch.__version__.partition("+")[0], "created")
PYTHON

try() { # version, then variables
    env "${@:2}" "$folder/$1/bin/python" "$folder/group.py"
}
for version in 2.14.1 2.15.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "torch==$version" numpy
done
seen=$(try 2.14.1; try 2.15.0; try 2.15.0 TORCH_FR_BUFFER_SIZE=0)
printf '%s\n' "$seen"
[ "$seen" = "2.14.1 created
2.15.0 ProcessGroup name not set
2.15.0 created" ]
