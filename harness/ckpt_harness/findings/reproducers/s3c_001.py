"""S3C-001: A failed save uploads its partial data when its garbage is collected, over what a later save stored.
With moto's server; s3torchconnector 1.5.0 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import gc
import logging
import os
import subprocess
import sys
import urllib.request

import torch
import torch.distributed.checkpoint as dcp
from s3torchconnector import S3ClientConfig
from s3torchconnector._s3client import S3Client
from s3torchconnector.dcp import S3StorageReader, S3StorageWriter

os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")
logging.disable(logging.CRITICAL)
SERVER = """
import sys, moto.server
(server := moto.server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)).start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=any/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}


class Unpicklable:
    def __reduce__(self):
        raise OSError("this object cannot be pickled")


def reaching(kind):
    config = S3ClientConfig(force_path_style=True)
    storage = kind("us-east-1", "s3://bucket/step-1", s3client_config=config)
    storage.fs._client = S3Client("us-east-1", endpoint=url, s3client_config=config)
    return storage


def load():
    state = {"weights": torch.zeros(4)}
    try:
        dcp.load(state, storage_reader=reaching(S3StorageReader), no_dist=True)
    except dcp.api.CheckpointException as error:
        return f"CheckpointException of {type(error.failures[0][0]).__name__}"
    return state["weights"].tolist()


if __name__ == "__main__":
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = server.stdout.readline().strip()
    urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT", headers=SIGNED), timeout=30)
    try:
        dcp.save({"weights": torch.ones(4), "other": Unpicklable()}, storage_writer=reaching(S3StorageWriter), no_dist=True)
    except dcp.api.CheckpointException as error:
        print(f"save: CheckpointException of {error.failures[0][0]!r}")
    dcp.save({"weights": torch.full((4,), 2.0)}, storage_writer=reaching(S3StorageWriter), no_dist=True)
    before = load()
    gc.collect()
    after = load()
    server.stdin.close()
    server.wait(30)
    print(f"save again: success; load: {before}; load after a garbage collection: {after}")
    sys.exit(print("wrong: the checkpoint is gone") if before == [2.0] * 4 and after != before else "not as recorded")
