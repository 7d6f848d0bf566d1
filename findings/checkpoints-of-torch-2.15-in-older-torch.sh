#!/usr/bin/env bash
# torch 2.15.0: its checkpoints do not load in torch 2.14.1, and the error names a file that never existed.
#
# The metadata of a checkpoint is a pickle. In torch 2.15.0 the properties of a tensor have a sixth field, `strides`, in their pickled state;
# __setstate__ of 2.14.1 (and of 2.13.0) unpacks exactly five. dcp.load of 2.14.1 then raises a CheckpointException on every rank. The error in it
# is an AssertionError that quotes both tries: the global metadata ("too many values to unpack (expected 5)"), and the metadata of a rank alone,
# which it looks for whenever the first try fails. The other way round, torch 2.15.0 loads what 2.14.1 saved: its __setstate__ takes both lengths.
#
# Source: TensorProperties in torch/distributed/checkpoint/metadata.py of 2.15.0.
# Exits with 0 if this is still so, and with 1 if it changed. Downloads several gigabytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/across.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")  # one process saves and loads alone

import torch
import torch.distributed.checkpoint as dcp

what, place = sys.argv[1:]
version = torch.__version__.partition("+")[0]
if what == "save":
    dcp.save({"weight": torch.arange(3.0)}, checkpoint_id=place, no_dist=True)
    sys.exit()
state = {"weight": torch.zeros(3)}
try:
    dcp.load(state, checkpoint_id=place, no_dist=True)
except dcp.CheckpointException as error:
    ((cause, _),) = error.failures.values()
    print(version, type(cause).__name__, str(cause).replace(place, "PLACE"))
else:
    print(version, "loaded", state["weight"].tolist())
PYTHON

run() { # version, then arguments
    "$folder/$1/bin/python" "$folder/across.py" "${@:2}"
}
for version in 2.14.1 2.15.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "torch==$version" numpy
    run "$version" save "$folder/saved-by-$version"
done
seen=$(run 2.14.1 load "$folder/saved-by-2.15.0"; run 2.15.0 load "$folder/saved-by-2.14.1")
printf '%s\n' "$seen"
[ "$seen" = "2.14.1 AssertionError metadata is None; global metadata read failed: too many values to unpack (expected 5); rank local metadata read failed: [Errno 2] No such file or directory: 'PLACE/__0.metadata'
2.15.0 loaded [0.0, 1.0, 2.0]" ]
