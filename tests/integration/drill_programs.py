"""Small programs that are drilled, as source: they start fast."""

from __future__ import annotations

STEADY = """
import json, sys
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir(exist_ok=True)
for step in (1, 2):
    new = root / "new"
    new.write_text(json.dumps(step))
    new.replace(root / "result.json")
"""
"""Writes a file twice, each time anew."""

STRAY = """
import sys
from pathlib import Path
Path(sys.argv[1]).mkdir(exist_ok=True)
(Path("runs") / "1" / "log").write_text("x")
"""
"""Names its directory itself, in addition."""

RANDOM = """
import json, os, sys
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir(exist_ok=True)
(root / "result.json").write_text(json.dumps({"seed": int.from_bytes(os.urandom(4), "big")}))
"""
"""Gives another result each time."""

WAITING = """
import subprocess, sys, time
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir(exist_ok=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "drilled-here"], start_new_session=True)
Path(sys.argv[2]).write_text("ready")
time.sleep(600)
"""
"""Never ends, and has a child in a session of its own."""

OPERATIONS = """
import os, shutil, sys, tempfile
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir()
(root / "a").write_text("a" * 20000)
os.rename(root / "a", root / "b")
os.link(root / "b", root / "c")
os.symlink("b", root / "d")
os.truncate(root / "c", 5)
(root / "below").mkdir()
shutil.copyfile(root / "b", root / "below" / "e")
with open(root / "b") as file:
    file.read()
descriptor, name = tempfile.mkstemp(dir=root)
with os.fdopen(descriptor, "w") as file:
    file.write("x")
os.replace(name, root / "f")
shutil.rmtree(root / "below")
os.listdir(root)
open(root / "g", "w").write("left to the collector")
assert (root / "g").read_text() == "left to the collector"
assert (root / "b").read_text() == "a" * 5
"""
"""Does every operation that is a point."""

RELATIVES = """
import json, multiprocessing, os, subprocess, sys
from pathlib import Path

def work(root, name):
    (Path(root) / name).write_text("x")

if __name__ == "__main__":
    root = sys.argv[1]
    Path(root).mkdir(exist_ok=True)
    work(root, "own")
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=work, args=(root, method))
        process.start()
        process.join()
    code = "import sys; from pathlib import Path; Path(sys.argv[1]).write_text('x')"
    subprocess.run([sys.executable, "-c", code, str(Path(root) / "other")], check=True)
    if os.fork() == 0:
        work(root, "forked")
        os._exit(0)
    os.wait()
"""
"""A rank with children of all kinds."""

LAUNCHER = """
import os, subprocess, sys
from pathlib import Path
Path(sys.argv[1]).mkdir(exist_ok=True)
(Path(sys.argv[1]) / "log-of-the-launcher").write_text("x")
code = "import os, sys; from pathlib import Path; (Path(sys.argv[1]) / os.environ['RANK']).write_text('x')"
ranks = [
    subprocess.Popen([sys.executable, "-c", code, sys.argv[1]], env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"})
    for rank in (0, 1)
]
sys.exit(max(rank.wait() for rank in ranks))
"""
"""A launcher in Python that writes a log of its own; as on Kubernetes, it may have RANK in its own environment."""

DCP = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import torch
import torch.distributed.checkpoint as dcp
root, state = Path(sys.argv[1]), {"weight": torch.zeros(3), "step": 0}
whole = sorted(place.parent for place in root.glob("step-*/.metadata"))
if whole:
    dcp.load(state, checkpoint_id=whole[-1])
for step in range(state["step"] + 1, 3):
    state["weight"] += step
    state["step"] = step
    dcp.save(state, checkpoint_id=root / f"step-{step}")
    torch.save(step, root / "last.pt")
"""
"""Saves twice with DCP, and a file with torch.save."""

RANKS = """
import os, sys, time
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir(exist_ok=True)
(root / os.environ["RANK"]).write_text(os.environ["TORCHELASTIC_RESTART_COUNT"])
if os.environ["RANK"] == "0":
    time.sleep(600)
"""
"""What torchrun starts: rank 0 never ends by itself."""

SURROUNDINGS = """
import json, os, sys
from pathlib import Path
root = Path(sys.argv[1])
root.mkdir(exist_ok=True)
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_RESTART_COUNT", "OMP_NUM_THREADS")
found = {
    "variables": {name: os.environ.get(name) for name in names},
    "arguments": [argument.replace(str(root), "ROOT") for argument in sys.argv],
    "name": __name__,
    "file": __file__,
    "path": sys.path[0],
    "paths": [entry for entry in sys.path if "drill" in entry],
    "directory": os.getcwd(),
    "stdin": sys.stdin.read(),
    "main": sys.modules["__main__"].__dict__ is globals(),
    "torch": "torch" in sys.modules,
}
(root / os.environ["RANK"]).write_text(json.dumps(found))
print("a last word", end="")
if os.environ["RANK"] == "1":
    sys.exit(3)
"""
"""Writes down what a rank finds around it, and fails on rank 1."""
