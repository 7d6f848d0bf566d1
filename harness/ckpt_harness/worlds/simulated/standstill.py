"""Notices that a world goes on and on and gets nowhere, so that every run ends.

A deadlock is proved only if nothing is pending. A thread that sends heartbeats, or a rank that polls, always has its next sleep pending: although all ranks
wait for ever, there is no proof, and virtual time would run on without end. Such a world is given up as "unknown", not called hung: the next sleep might
have been the last.
"""

from __future__ import annotations

from ckpt_harness.worlds.fair_clock import FairClock

SLEEPS = 10_000
"""Sleeps that may end one after the other without any progress. A rank that polls ten times a second for a quarter of an hour is still waiting."""
LONG = 36_000.0
"""Virtual seconds for which a world may do nothing but sleep, if it sleeps again and again: longer than the timeouts and delays that are in use."""
LONGEST = 20
"""A run takes at most this many times its limit for waits for something outside, however much progress it makes."""


class Standstill:
    """What a world has done since its last progress: a rank, a thread that another thread waits for, or a collective went on.

    Args:
        clock: measures real seconds for which this process was free to run.
        limit: limit in real seconds for waits for something outside.
    """

    def __init__(self, clock: FairClock, limit: float) -> None:
        self._clock, self._limit = clock, limit
        self._began = clock.now()
        self._sleeps, self._idle = 0, 0.0
        self._since, self._since_virtual = 0.0, 0.0

    def progressed(self) -> None:
        """Notes progress."""
        self._sleeps, self._idle = 0, 0.0

    def slept(self, now: float) -> bool:
        """Notes that nothing but the end of a sleep comes next.

        Args:
            now: virtual seconds.

        Returns:
            Whether the world has slept too often, for too long.
        """
        if not self._sleeps:
            self._since, self._since_virtual = self._clock.now(), now
        self._sleeps += 1
        if self._sleeps < SLEEPS:
            return False
        return now - self._since_virtual > LONG or self._clock.now() - self._since > self._limit

    def idled(self, seconds: float) -> bool:
        """Notes that the world was idle before a sleep could end, for something outside. Returns whether it has been idle for too long."""
        self._idle += seconds
        return self._idle > self._limit

    def aside(self, seconds: float) -> None:
        """Notes that all ranks stood still for something that is no part of the run."""
        self._began += seconds

    def too_long(self) -> bool:
        """Whether the run as a whole takes too long."""
        return self._clock.now() - self._began > LONGEST * self._limit
