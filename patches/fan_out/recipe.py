"""Write the metadata of every draft step in one Triton launch.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import Step, Where
from patches import HERE
from patches.fan_out.about import ABOUT
from patches.fan_out.dsa import FAMILY_C
from patches.shared.anchors import DSA_BACKEND
from patches.shared.fused import (
    DIRECT_LAUNCH,
    MULTI_STEP,
    SHARED_STEPS,
    prepend,
    read_gate,
)

PAYLOAD = HERE / "fan_out" / "payload"

FAMILIES_A_AND_B: tuple[Step, ...] = (
    *SHARED_STEPS,
    *DIRECT_LAUNCH,
    *read_gate(ABOUT.gate, PAYLOAD, "NSA_METADATA_FAN_OUT"),
    prepend(PAYLOAD, "FanOutDispatch", "__init__", MULTI_STEP),
)

PATCH = Patch(
    ABOUT,
    steps=(
        *(Where(step, lacks=DSA_BACKEND) for step in FAMILIES_A_AND_B),
        *(Where(step, has=DSA_BACKEND) for step in FAMILY_C),
    ),
)
