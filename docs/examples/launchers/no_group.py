"""The examples in a plain process."""

from __future__ import annotations

import examples

if __name__ == "__main__":
    examples.run()
