"""The steps for family C.

Source: document 001's "combined precompute + copy kernel".
"""

from __future__ import annotations

from patcher.steps.cst.workspace import Step
from patches import HERE
from patches.fan_out.about import ABOUT
from patches.shared.anchors import INIT_STATE
from patches.shared.dsa import DIRECT_LAUNCH, SHARED_STEPS, prepend, read_gate

PAYLOAD = HERE / "fan_out" / "payload" / "dsa_backend.py"

FAMILY_C: tuple[Step, ...] = (
    *SHARED_STEPS,
    *DIRECT_LAUNCH,
    *read_gate(ABOUT.gate, PAYLOAD, "DSA_METADATA_FAN_OUT"),
    prepend(PAYLOAD, "FanOutDispatch", INIT_STATE),
)
