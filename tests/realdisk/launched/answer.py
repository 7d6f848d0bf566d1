"""``answer.py MODULE QUESTION ANSWER`` calls ``answer`` of a module of this directory. QUESTION and ANSWER are pickled files in a directory for its use."""

import importlib
import pickle
import sys
from pathlib import Path

if __name__ == "__main__":
    module, question, target = sys.argv[1:]
    answer = importlib.import_module(module).answer(pickle.loads(Path(question).read_bytes()), Path(target).parent)
    Path(target).write_bytes(pickle.dumps(answer))
