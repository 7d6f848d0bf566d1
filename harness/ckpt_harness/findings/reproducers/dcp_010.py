"""DCP-010: With thread_count > 1 an error on a writer thread is lost, and the save reports success.

Plain torch. Exits with 0 if the finding shows, with 1 if not."""

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
        time.sleep(0.2)  # so that the writer threads take the other files
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
    warnings.simplefilter("ignore")  # torch warns that there is one process only
    lost = []
    threading.excepthook = lambda thread: lost.append(thread.exc_value)  # nobody else learns of the error
    with tempfile.TemporaryDirectory() as place:
        load_error = act(place)
    print(f"errors on writer threads: {lost}\nload: {load_error!r}")
    shows = lost and isinstance(load_error, KeyError)
    sys.exit(print("wrong: the save reports success, and the checkpoint cannot be loaded") if shows else "not as recorded")
