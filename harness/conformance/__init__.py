"""Kits that other people's storages are held against."""

from harness.conformance.storage import StorageConformance as StorageConformance
