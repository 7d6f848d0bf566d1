"""Many cases: sweeps of the fault space, states after crashes, damaged files, and where they run."""
