"""Kits that check the storages of others against all claims: ``storage`` is a pytest class, ``check`` needs no pytest."""
