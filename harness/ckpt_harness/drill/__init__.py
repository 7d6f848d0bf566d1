"""The drill: the user's own training command, killed at every point of its life, and started again.

A drill walks through the files in this order: ``settings`` says what to run and ``places`` makes copies of the state directory; ``launchers`` start the
command; ``inside`` is what runs in its processes and reports each point; ``watch`` answers the points of one start; ``checkpoints`` looks at what is on
disk; ``points`` chooses the points to try; ``campaign`` tries them; ``oracles`` judge.
"""
