"""Whether a file is a whole checkpoint, as an exit status: python whole.py FILE."""

import json
import re
import sys
from pathlib import Path

file = Path(sys.argv[1])
if not re.fullmatch(r"step-\d+\.json", file.name):
    sys.exit(1)
json.loads(file.read_text())
