"""Makes the scripts of ``launched/`` importable by the tests that launch them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "launched"))
