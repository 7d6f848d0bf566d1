"""Many cases: sweeps of the fault space, states after crashes, damaged files, and the processes that share the work."""
