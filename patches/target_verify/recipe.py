"""Rewrite target_verify metadata in place, in one Triton launch.

Source: document 002.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import InsertBefore, Where
from patches import HERE
from patches.shared.anchors import INIT_STATE, NSA_BACKEND, OWN_PRECOMPUTE, REPLAY
from patches.shared.fused import BACKEND, FUSED, prepend
from patches.target_verify.about import ABOUT

PAYLOAD = HERE / "target_verify" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *FUSED,
        Where(
            prepend(PAYLOAD, "FusedTargetVerifyDispatch", REPLAY),
            lacks=OWN_PRECOMPUTE,
        ),
        Where(prepend(PAYLOAD, "FindRemainder", INIT_STATE), has=OWN_PRECOMPUTE),
        # From 0.5.12 on it takes one parameter more.
        Where(
            InsertBefore(
                file=NSA_BACKEND,
                function=f"{BACKEND}.{REPLAY}",
                anchor="assert seq_lens_cpu is not None",
                payload=PAYLOAD / "nsa_backend.py",
                source=f"FusedTargetVerifyDispatch.{REPLAY}",
            ),
            has=OWN_PRECOMPUTE,
        ),
    ),
)
