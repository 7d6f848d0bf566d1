"""Planted bugs: code for object stores that ignores refused requests or damaged answers. Each bug is an edit of ``object_storage.py``."""

from __future__ import annotations

from planting import Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

OBJECTS = "object_storage:OBJECTS"
STORE, WRITER, READER = (f"object_storage:{name}" for name in ("Store", "ObjectWriter", "ObjectReader"))


def _bug(name: str, caught_by: tuple[str, ...], *edits: Edit, operation: str = "save") -> Bug:
    return Bug(name, caught_by, edits, Sweep((operation,), (2,), engine=OBJECTS, network=True, zoo="full"))  # type: ignore[arg-type]  # a kind


_PUT = "self.store.put(plan.storage_data, bytes(content))"
_GOT = "objects[name] = self.store.get(name)"
_CHECK = "if hashlib.sha256(data).digest() != digest:"


BUGS = (
    _bug(
        "a refused put is not noticed",
        ("commitment",),
        Edit(f"{STORE}.put", 'self.asked("PUT", name, body)', 'self.once("PUT", name, body)'),
    ),
    _bug(
        "a refused put is swallowed",
        ("commitment",),
        Edit(f"{WRITER}.write_data", _PUT, f"try:\n    {_PUT}\nexcept OSError:\n    pass"),
    ),
    _bug(
        "a busy store is taken for an empty store",
        ("filled",),
        Edit(f"{READER}.read_data", _GOT, f"try:\n    {_GOT}\nexcept OSError:\n    continue"),
        operation="load",
    ),
    _bug(
        "bits that flip in transit are not noticed",
        ("integrity",),
        Edit(f"{READER}.checked", _CHECK, "if False:"),
        operation="load",
    ),
)
