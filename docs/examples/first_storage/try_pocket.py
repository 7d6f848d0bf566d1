"""Saves with the storage, and loads again, in one process."""

import warnings

import torch
import torch.distributed.checkpoint as dcp
from pocket import PocketReader, PocketWriter

warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is meant

dcp.save({"weight": torch.arange(4.0)}, storage_writer=PocketWriter("checkpoint"))
state = {"weight": torch.zeros(4)}
dcp.load(state, storage_reader=PocketReader("checkpoint"))
print(state["weight"])
