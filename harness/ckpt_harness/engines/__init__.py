"""Engines: the checkpointing systems under test."""
