"""DCP-036: A Stateful inside a dictionary is not loaded, and the load reports success.

One process saves and loads. Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp


class Trainer:
    def __init__(self, step):
        self.weight, self.step, self.calls = torch.full((2,), float(step)), step, []

    def state_dict(self):
        self.calls.append("state_dict")
        return {"weight": self.weight, "step": self.step}

    def load_state_dict(self, state_dict):
        self.calls.append("load_state_dict")
        self.weight, self.step = state_dict["weight"], state_dict["step"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for name, nested in (("at the top", False), ("in a dictionary", True)):
            saved, loaded = Trainer(7), Trainer(0)
            dcp.save({"app": {"trainer": saved}} if nested else {"trainer": saved}, checkpoint_id=f"{place}/{nested}")
            state = {"app": {"trainer": loaded}} if nested else {"trainer": loaded}
            dcp.load(state, checkpoint_id=f"{place}/{nested}")
            print(f"{name}: step {loaded.step}, weight {loaded.weight.tolist()}, called by save and load: {saved.calls + loaded.calls}")
        other = state["app"]["trainer"]
        print(f"the dictionary now holds another object: step {other.step}, the object that was passed: {other is loaded}")
    if (loaded.step, saved.calls + loaded.calls, other is loaded) != (0, [], False):
        sys.exit("not as recorded")
    print("wrong: the load reported success, and the object that the caller holds was never loaded")
