"""Engines for packages that are not dependencies of the harness. Each file imports its package only when the engine is used."""
