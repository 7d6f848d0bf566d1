"""Worlds run the ranks: simulated in one process, as real processes, or attached to the ranks that a launcher started."""
