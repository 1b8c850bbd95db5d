"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.recipe import Patch
from patches import HERE
from patches.fan_out.about import ABOUT
from patches.shared.fused import (
    DIRECT_LAUNCH,
    MULTI_STEP,
    SHARED_STEPS,
    prepend,
    read_gate,
)

PAYLOAD = HERE / "fan_out" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *SHARED_STEPS,
        *DIRECT_LAUNCH,
        *read_gate(ABOUT.gate, PAYLOAD, "NSA_METADATA_FAN_OUT"),
        prepend(PAYLOAD, "FanOutDispatch", "__init__", MULTI_STEP),
    ),
)
