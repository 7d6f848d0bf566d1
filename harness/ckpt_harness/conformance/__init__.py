"""Checks a storage or an engine against every claim: ``storage`` has a pytest class to inherit from, ``check`` has a function that needs no pytest."""
