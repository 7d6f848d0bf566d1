"""Every torch internal that the harness touches, each with why, and what differs between versions.

Nothing else in ``harness`` names a private torch symbol. Import of this module imports torch.
"""

from __future__ import annotations

# --- ranks as threads (used by harness.worlds.simulated) ------------------------------------------------------------

# --- how DCP finds and looks at storage (used by the wrappers and by inject) -------------------------------------------
