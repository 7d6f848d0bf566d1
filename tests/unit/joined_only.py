"""An engine whose storage keeps the parts of ranks that save without collectives together, so that it cannot claim that they may."""

from __future__ import annotations

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability

ENGINE = FileSystemEngine("joined-only", "DCP on a file system, with collectives")
ENGINE.capabilities -= {Capability.WITHOUT_COLLECTIVES}
