"""Checkpoints across releases of torch: saved by the torch of one interpreter, loaded by the torch of another."""
