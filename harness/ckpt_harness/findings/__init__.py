"""Findings: what engines are known to get wrong, so that a run fails on what is new."""
