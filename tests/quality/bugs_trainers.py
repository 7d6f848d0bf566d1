"""Bugs of trainers. Each is found by one oracle of the drill, and by no other."""

from __future__ import annotations

from drilling import TrainerBug

BUGS = (
    TrainerBug(
        "expects that what a death left is an empty directory",
        "restarts",
        "        if not (place / \"done\").exists():\n            shutil.rmtree(place)",
        "        if not (place / \"done\").exists():\n            place.rmdir()",
        "file.write(step-4/rank-0.json.new)@0#1!after",
    ),
    TrainerBug(
        "is kept from starting by the lock of a dead process",
        "restarts",
        "values = resume()\n",
        "if rank == 0:\n    state.mkdir(exist_ok=True)\n    (state / 'lock').touch(exist_ok=False)\nvalues = resume()\n",
        "file.write(step-4/rank-0.json.new)@0#1",
    ),
    TrainerBug(
        "takes the last name for the newest checkpoint",
        "resume",
        "    newest = complete()[-1].name if rank == 0 and complete() else None",
        "    newest = max(complete(), key=str).name if rank == 0 and complete() else None",
        "file.write(step-16/rank-0.json.new)@0#1",
        steps=(16, 4),
    ),
    TrainerBug(
        "goes on from the checkpoint before the newest",
        "resume",
        "    newest = complete()[-1].name if rank == 0 and complete() else None",
        "    newest = complete()[-2:][0].name if rank == 0 and complete() else None",
        "file.write(step-6/rank-0.json.new)@0#1",
    ),
    TrainerBug(
        "goes on from a directory without the marker",
        "resume",
        "        if not (place / \"done\").exists():\n            shutil.rmtree(place)",
        "        if not (place / \"done\").exists():\n            (place / \"done\").touch()",
        "file.write(step-4/done.new)@0#1",
    ),
    TrainerBug(
        "starts afresh although there is a checkpoint",
        "resume",
        "    if newest is None:",
        "    if newest is None or newest == 'step-4':",
        "file.write(step-6/rank-0.json.new)@0#1",
    ),
    TrainerBug(
        "does not load all that it saved",
        "equal",
        '    return json.loads((state / newest / f"rank-{rank}.json").read_text())',
        '    return {**json.loads((state / newest / f"rank-{rank}.json").read_text()), "momentum": 0.0}',
        "file.write(step-4/rank-0.json.new)@0#1",
    ),
    TrainerBug(
        "repeats the step of the checkpoint",
        "equal",
        'for step in range(values["step"] + 1, steps + 1):',
        'for step in range(max(values["step"], 1), steps + 1):',
        "file.write(step-4/rank-0.json.new)@0#1",
    ),
    TrainerBug(
        "removes the old checkpoint before the new one is committed",
        "retention",
        "    saved = attempt(write_shard, place) and attempt(commit, place)",
        "    if rank == 0:\n        [shutil.rmtree(old) for old in complete()]\n    saved = attempt(write_shard, place) and attempt(commit, place)",
        "file.write(step-4/done.new)@0#1",
    ),
    TrainerBug(
        "removes the checkpoint that it has loaded",
        "retention",
        '    return json.loads((state / newest / f"rank-{rank}.json").read_text())',
        """    loaded = json.loads((state / newest / f"rank-{rank}.json").read_text())
    exchange("loaded")
    if rank == 0:
        shutil.rmtree(state / newest)
    return loaded""",
        "file.write(step-4/done.new)@0#1",
    ),
    TrainerBug(
        "leaves a temporary file of each process behind",
        "retention",
        '    new = path.with_name(path.name + ".new")',
        '    new = state / f"{path.name}.{os.environ[\'JOB\']}.new"',
        "file.rename(step-2/rank-0.json)@0#1",
        steps=(2, 2),
    ),
    TrainerBug(
        "waits for a rank that is gone",
        "ended",
        '        sys.exit(f"rank {rank}: the other rank is gone")',
        "        time.sleep(1000)",
        "file.write(step-4/rank-0.json.new)@0#1",
        "kill-rank",
    ),
    TrainerBug(
        "reports success without its last checkpoint",
        "noticed",
        "if not saved:",
        "if False:",
        "file.write(step-6/rank-1.json.new)@1#1",
        "ENOSPC",
    ),
    TrainerBug(
        "leaves out the next save on the rank whose save failed",
        "agreed",
        """def write_shard(place):
""",
        """tired = False


def write_shard(place):
    global tired
    if tired:
        tired = False
        raise OSError("this rank leaves the save out")
    try:
        write_shard_at_once(place)
    except OSError:
        tired = True
        raise


def write_shard_at_once(place):
""",
        "file.write(step-2/rank-1.json.new)@1#1",
        "ENOSPC",
        steps=(8, 2),
    ),
)
"""Bugs by the oracle that finds them."""
