"""Managers of checkpoints: what a trainer calls in place of an engine, and what a job can drive. ``protocol`` says what a manager has to do."""
