"""Cases as stand-alone scripts that need plain torch only: what a maintainer wants in a bug report."""
