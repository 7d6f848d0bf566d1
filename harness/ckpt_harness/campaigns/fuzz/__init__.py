"""Fuzzing the life of jobs: draws jobs, runs them, shrinks what fails, and remembers it."""
