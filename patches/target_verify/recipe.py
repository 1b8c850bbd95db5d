"""Rewrite target_verify metadata in place, in one Triton launch or vectorised.

Source: document 002.
"""

from __future__ import annotations

from patcher.recipe import Patch
from patcher.steps import AddMethods, PrependToBody
from patches import HERE
from patches.shared.anchors import KNOWN_REPLAY, NSA_BACKEND, OLDER_NSA_BACKEND, REPLAY
from patches.shared.fused import FUSED_METADATA, kernels
from patches.target_verify.about import ABOUT

PAYLOAD = HERE / "target_verify" / "payload"

PATCH = Patch(
    ABOUT,
    steps=(
        *KNOWN_REPLAY,
        *FUSED_METADATA,
        kernels(PAYLOAD),
        AddMethods(
            file=NSA_BACKEND,
            cls="NativeSparseAttnBackend",
            after=REPLAY,
            payload=PAYLOAD / "nsa_backend.py",
            source="FusedTargetVerify",
            adapt=OLDER_NSA_BACKEND,
        ),
        PrependToBody(
            file=NSA_BACKEND,
            function=f"NativeSparseAttnBackend.{REPLAY}",
            payload=PAYLOAD / "nsa_backend.py",
            source=f"FusedTargetVerifyDispatch.{REPLAY}",
        ),
    ),
)
