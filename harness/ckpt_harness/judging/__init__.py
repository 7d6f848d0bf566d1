"""Judges what happened: the model of what a plan must lead to, and the oracles. Shares no code with the injector, the wrappers or the worlds."""
