"""One case: everything needed to run it once and again, the run itself, and what came of it."""
