"""``python -m ckpt_harness``: the command line."""

from ckpt_harness.cli import main

main(prog_name="python -m ckpt_harness")
