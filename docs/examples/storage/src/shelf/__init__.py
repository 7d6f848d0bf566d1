"""A storage for checkpoints: one file for each rank and save, checksums, one commit file."""

from shelf.storage import ShelfReader, ShelfWriter

__all__ = ["ShelfReader", "ShelfWriter"]
