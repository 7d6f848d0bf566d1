"""DCP-010: with thread_count > 1 an error on a writer thread is lost, and the save reports success. Plain torch; exits 0 if it shows."""

import sys
import tempfile
import threading
import time
import warnings

import torch
import torch.distributed.checkpoint as dcp


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, write_item):
        if threading.current_thread() is not threading.main_thread():
            raise OSError("no space left")
        time.sleep(0.2)  # leaves the other files to the writer threads
        return super().resolve_data(write_item)


def act(place):
    state = {f"weight {number}": torch.ones(4) for number in range(16)}
    dcp.save(state, storage_writer=dcp.FileSystemWriter(place, thread_count=4), planner=Planner())
    print("save: success")
    try:
        dcp.load(state, checkpoint_id=place)
    except dcp.api.CheckpointException as error:
        return error.failures[0][0]
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # one process is enough, and torch says so
    lost = []
    threading.excepthook = lambda thread: lost.append(thread.exc_value)  # the only one who is told
    with tempfile.TemporaryDirectory() as place:
        told = act(place)
    print(f"errors on writer threads: {lost}\nload: {told!r}")
    shows = lost and isinstance(told, KeyError)
    sys.exit(print("wrong: the save reports success, and what it stored cannot be loaded") if shows else "not as recorded")
