"""What the sessions inside tests share with the session around them."""

from __future__ import annotations

# A session inside a test forgets the modules that it imported when it ends. Torch cannot be imported twice in a process, nor the simulated ranks
# be registered with it twice, so both are imported here.
import ckpt_harness.conformance.storage
import ckpt_harness.pytest_plugin.cases
import ckpt_harness.pytest_plugin.ranks  # noqa: F401  (see above)
