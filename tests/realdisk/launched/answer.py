"""Asks the function ``answer`` of a module of this directory: ``answer.py MODULE QUESTION ANSWER``, both pickled files in a directory for its use."""

import importlib
import pickle
import sys
from pathlib import Path

if __name__ == "__main__":
    module, asked, told = sys.argv[1:]
    answer = importlib.import_module(module).answer(pickle.loads(Path(asked).read_bytes()), Path(told).parent)
    Path(told).write_bytes(pickle.dumps(answer))
