"""Engines for packages that are not installed with the harness: one file each, none of which imports its package before it is used."""
