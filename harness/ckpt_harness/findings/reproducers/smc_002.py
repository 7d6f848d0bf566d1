"""SMC-002: A SystemExit while items are written hangs its rank.

amzn-sagemaker-checkpointing 1.1.3 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import http.server
import logging
import sys
import threading

import torch
import torch.distributed.checkpoint as dcp
from amzn_sagemaker_checkpointing.checkpointing.filesystem import SageMakerTieredStorageWriter
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


def connected(kind):
    storage = kind(SageMakerCheckpointConfig(namespace="reproducer", world_size=1), step=1)
    storage.client.config = InMemoryClientConfig(base_url=f"http://127.0.0.1:{server.server_port}")
    return storage


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, item):
        raise SystemExit("asked to stop")


def save():
    dcp.save({"weight": torch.ones(2)}, storage_writer=connected(SageMakerTieredStorageWriter), planner=Planner(), no_dist=True)


if __name__ == "__main__":
    server = http.server.HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    saving = threading.Thread(target=save, daemon=True)
    saving.start()
    saving.join(10)
    print(f"after 10 seconds the save {'still waits' if saving.is_alive() else 'has ended'}")
    sys.exit(print("wrong: nobody completes the future of write_data") if saving.is_alive() else "not as recorded")
