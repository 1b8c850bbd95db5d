"""Rewrite target_verify metadata in place, in one Triton launch.

Source: document 002.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patches import HERE
from patches.shared.anchors import REPLAY
from patches.shared.fused import FUSED, prepend
from patches.target_verify.about import ABOUT

PAYLOAD = HERE / "target_verify" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *FUSED,
        prepend(PAYLOAD, "FusedTargetVerifyDispatch", REPLAY),
    ),
)
