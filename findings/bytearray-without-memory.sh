#!/usr/bin/env bash
# CPython 3.8 to 3.13: a pickle that asks for more memory than there is prints a SystemError on stderr, besides raising a MemoryError.
#
# The opcode BYTEARRAY8 holds a length, which damage to the file can make absurd. If the bytearray cannot be allocated, Python frees the object
# before it has set the number of its exports, so that the number is whatever the memory held. If it is not zero, "SystemError: deallocated
# bytearray object has exported buffers" goes to sys.excepthook, though nothing raised it. DCP reads `.metadata` with pickle, so a reader of a
# damaged checkpoint sees the line.
#
# Source: PyByteArray_FromStringAndSize in Objects/bytearrayobject.c.
# Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail

seen=$(python3 - <<'PYTHON'
import pickle
import sys

printed = []
sys.excepthook = lambda kind, error, trace: printed.append(f"{kind.__name__}: {error}")
for _ in range(100):
    [b"x" * size for size in range(20, 60)]  # memory that is free again, and not zero
    try:
        pickle.loads(b"\x80\x05\x96" + (1 << 62).to_bytes(8, "little"))
    except MemoryError:
        pass
print(sys.version.split()[0], file=sys.stderr)
print("\n".join(sorted(set(printed))))
PYTHON
)
printf '%s\n' "$seen"
[ "$seen" = "SystemError: deallocated bytearray object has exported buffers" ]
