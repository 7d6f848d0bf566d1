"""SMC-004: An interrupted save of a step that exists already leaves a mixture that loads. amzn-sagemaker-checkpointing 1.1.3 on torch 2.13.0, two ranks."""

import contextlib
import http.server
import logging
import sys
import tempfile
import threading

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from amzn_sagemaker_checkpointing.checkpointing.filesystem import SageMakerTieredStorageReader, SageMakerTieredStorageWriter
from amzn_sagemaker_checkpointing.config.in_memory_client import InMemoryClientConfig
from amzn_sagemaker_checkpointing.config.sagemaker_checkpoint_config import SageMakerCheckpointConfig

logging.disable(logging.CRITICAL)
STORED = {}


class Service(http.server.BaseHTTPRequestHandler):
    """The requests that the package's client sends to the memory tier of a cluster."""

    def do_GET(self):
        content, meta = STORED.get(self.path, (b"", ""))
        self.send_response(200 if self.path in STORED else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Shard-Meta", meta)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        path = self.path.partition("?")[0]
        STORED[path] = self.rfile.read(int(self.headers["Content-Length"])) or b"{}", self.headers.get("Shard-Meta", "")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


def rank_main(rank, rendezvous, port):
    def connected(kind):
        storage = kind(SageMakerCheckpointConfig(namespace="reproducer", world_size=2), step=1)
        storage.client.config = InMemoryClientConfig(base_url=f"http://127.0.0.1:{port}")
        return storage

    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    dcp.save({f"part of {rank}": torch.ones(2)}, storage_writer=connected(SageMakerTieredStorageWriter))
    more = {"broken": threading.Lock()} if rank == 1 else {}  # a lock cannot be pickled
    with contextlib.suppress(dcp.api.CheckpointException):
        dcp.save({f"part of {rank}": torch.full((2,), 2.0), **more}, storage_writer=connected(SageMakerTieredStorageWriter))
    dcp.load(state := {f"part of {rank}": torch.zeros(2)}, storage_reader=connected(SageMakerTieredStorageReader))
    print(f"rank {rank}: load: success; {state}", flush=True)
    dist.destroy_process_group()
    sys.exit(state[f"part of {rank}"].tolist() != [2.0 - rank] * 2)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(rank_main, (f"{place}/rendezvous", server.server_port), nprocs=2)
    print("wrong: one step holds values of two saves")
