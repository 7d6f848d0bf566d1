"""Prints the directory to put on ``PYTHONPATH``."""

from ckpt_harness.drill.start import DIRECTORY

print(DIRECTORY)
