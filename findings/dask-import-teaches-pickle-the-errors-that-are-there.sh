#!/usr/bin/env bash
# distributed 2026.8.0 (Dask), with tblib 3.2.2: `import distributed` changes how every class of errors is pickled that is loaded at that moment.
#
# distributed/utils.py calls tblib.pickling_support.install() at import. It registers a reducer in copyreg for each subclass of BaseException that exists
# by then, and for no class that is loaded later. So an error that pickle could write and not read (its constructor needs more arguments than `args`
# holds, as that of botocore's ClientError) can be read back, if its class was loaded before Dask, and still cannot if it was loaded after.
# DCP sends errors between ranks by pickle: whether the other ranks of a checkpoint learn of such an error, or hang, depends on the order of two imports.
# A test suite that imports Dask in one test therefore changes what other tests of the same process see.
#
# Source: distributed/utils.py (`tblib.pickling_support.install()`); tblib/pickling_support.py: install.
# Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q distributed==2026.8.0 dask==2026.8.0 tblib==3.2.2

cat > "$folder/order.py" <<'PYTHON'
import pickle
import sys


class Early(RuntimeError):
    def __init__(self, code, message):
        super().__init__(message)


import distributed  # noqa: E402


class Late(RuntimeError):
    def __init__(self, code, message):
        super().__init__(message)


def crosses(error):
    try:
        return repr(pickle.loads(pickle.dumps(error)))
    except TypeError as why:
        return f"TypeError: {why}"


print(f"distributed {distributed.__version__}, Python {sys.version.split()[0]}")
early, late = crosses(Early(1, "slow down")), crosses(Late(1, "slow down"))
print("class loaded before Dask:", early)
print("class loaded after Dask: ", late)
sys.exit(not (early == "Early('slow down')" and late.startswith("TypeError")))
PYTHON
"$folder/venv/bin/python" "$folder/order.py"
