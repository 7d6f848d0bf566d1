"""Kits that other people's storages are held against: :mod:`harness.conformance.storage` under pytest, :mod:`harness.conformance.check` without it."""
