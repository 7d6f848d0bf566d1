"""The directory that goes on ``PYTHONPATH``: :data:`DIRECTORY`. ``python -m ckpt_harness.drill.start`` prints it."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parent
"""Holds the ``sitecustomize`` of the drill."""
